/* pulsed 5: commands are read by a machine, byte by byte, whose state each session keeps: it has grown by that. */
#include "pulsed.h"
#include "wheel.h"

enum state { AT_START, IN_WORD, IN_NUMBER, IN_SECOND, IN_TEXT, AT_END };

/* What a session is at: a command's first letters, and up to two numbers. */
static void finish(struct session *session) {
  const char *word = session->input;
  long number = session->negative ? -session->number : session->number;
  session->commands++;
  if (!strncmp(word, "AD", 2))
    reply(session, "SUM %ld", session->sum += number);
  else if (!strncmp(word, "AF", 2))
    insert(new_timer(session, session->first, 0, number)), reply(session, "OK");
  else if (word[0] == 'E')
    insert(new_timer(session, number, number, 0)), reply(session, "OK");
  else if (word[0] == 'C')
    reply(session, "COMMANDS %ld", session->commands);
  else if (word[0] == 'N')
    reply(session, "HELLO %s", session->name);
  else if (word[0] == 'W')
    reply(session, "NAME %s", session->name);
  else if (word[0] == 'V')
    reply(session, "VERSION %d %d", VERSION, dsu_generation);
  else
    reply(session, "ERROR");
}

static void begin(struct session *session) {
  session->state = AT_START;
  session->used = 0;
  session->number = 0;
  session->negative = 0;
  session->first = 0;
}

static void step(struct session *session, char byte) {
  if (byte == '\n') {
    finish(session);
    begin(session);
    return;
  }
  if (byte == '\r')
    session->state = AT_END;
  switch (session->state) {
  case AT_START:
  case IN_WORD:
    session->state = IN_WORD;
    if (byte == ' ')
      session->state = session->input[0] == 'N' ? IN_TEXT : IN_NUMBER;
    else if (session->used < 15)
      session->input[session->used++] = byte;
    session->input[session->used] = 0;
    if (session->state == IN_TEXT)
      session->name[0] = 0;
    break;
  case IN_TEXT: {
    size_t length = strlen(session->name);
    if (length < sizeof session->name - 1)
      memcpy(session->name + length, (char[]){byte, 0}, 2);
    break;
  }
  case IN_NUMBER:
    if (byte == ' ') {
      session->first = session->number;
      session->number = 0;
      session->state = IN_SECOND;
      break;
    }
    /* fall through */
  case IN_SECOND:
    if (byte == '-')
      session->negative = 1;
    else
      session->number = session->number * 10 + (byte - '0');
    break;
  case AT_END:
    break;
  }
}

static void feed(struct session *session) {
  char bytes[64];
  ssize_t got = recv(session->descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got <= 0) {
    end_timers(session);
    end_session(session);
    return;
  }
  for (ssize_t at = 0; at < got; at++)
    step(session, bytes[at]);
}

int main(int count, char **arguments) {
  static int is_fed; /* whether the machine has what older versions had read of commands */
  struct epoll_event events[8];
  set_up(count > 1 ? arguments[1] : "0");
  say_hello();
  start_wheel();
  watch_all();
  for (struct session *session = sessions; session && !is_fed; session = session->next) {
    char rest[sizeof session->input];
    int length = session->used;
    memcpy(rest, session->input, length);
    begin(session);
    for (int at = 0; at < length; at++)
      step(session, rest[at]);
  }
  is_fed = 1;
  while (!is_over) {
    int found = epoll_wait(watch, events, 8, -1);
    for (int number = 0; number < found; number++) {
      void *what = events[number].data.ptr;
      if (what == &listener) {
        int accepted = accept(listener, NULL, NULL);
        if (accepted >= 0)
          watch_for(accepted, new_session(accepted));
      } else if (what == &beat) {
        turn_wheel();
      } else {
        feed(what);
      }
    }
  }
  printf("pulsed %d: ends\n", VERSION);
  return 0;
}

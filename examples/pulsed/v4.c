/* pulsed 4: main is five lines; the rest is functions, and a table of commands. */
#include "pulsed.h"
#include "wheel.h"

struct command {
  const char *name;
  void (*run)(struct session *, const char *);
};

static void add(struct session *session, const char *rest) { reply(session, "SUM %ld", session->sum += atol(rest)); }

static void count_commands(struct session *session, const char *rest) {
  (void)rest;
  reply(session, "COMMANDS %ld", session->commands);
}

static void take_name(struct session *session, const char *rest) {
  snprintf(session->name, sizeof session->name, "%.31s", rest);
  reply(session, "HELLO %s", session->name);
}

static void say_name(struct session *session, const char *rest) {
  (void)rest;
  reply(session, "NAME %s", session->name);
}

static void say_version(struct session *session, const char *rest) {
  (void)rest;
  reply(session, "VERSION %d %d", VERSION, dsu_generation);
}

static void every(struct session *session, const char *rest) {
  insert(new_timer(session, atol(rest), atol(rest), 0));
  reply(session, "OK");
}

static void after(struct session *session, const char *rest) {
  char *id = NULL;
  long wait = strtol(rest, &id, 10);
  insert(new_timer(session, wait, 0, atol(id)));
  reply(session, "OK");
}

static const struct command commands[] = {
    {"ADD", add},       {"AFTER", after}, {"COUNT", count_commands}, {"EVERY", every},
    {"NAME", take_name}, {"VERSION", say_version}, {"WHO", say_name},
};

static void obey(struct session *session, char *line) {
  char *rest = line + strcspn(line, " \r");
  if (*rest == ' ')
    *rest++ = 0;
  rest[strcspn(rest, "\r")] = 0;
  line[strcspn(line, "\r")] = 0;
  session->commands++;
  for (size_t number = 0; number < sizeof commands / sizeof commands[0]; number++)
    if (!strcmp(commands[number].name, line)) {
      commands[number].run(session, rest);
      return;
    }
  reply(session, "ERROR");
}

static int receive(struct session *session) {
  ssize_t got = recv(session->descriptor, session->input + session->used, sizeof session->input - session->used, MSG_DONTWAIT);
  if (got < 0)
    return errno == EAGAIN || errno == EINTR;
  session->used += got;
  return got > 0;
}

static void serve(struct session *session) {
  char *end;
  if (!receive(session)) {
    end_timers(session);
    end_session(session);
    return;
  }
  while ((end = memchr(session->input, '\n', session->used))) {
    char line[sizeof session->input];
    int length = end - session->input;
    memcpy(line, session->input, length);
    line[length] = 0;
    session->used -= length + 1;
    memmove(session->input, end + 1, session->used);
    obey(session, line);
  }
}

static void welcome(void) {
  int accepted = accept(listener, NULL, NULL);
  if (accepted >= 0)
    watch_for(accepted, new_session(accepted));
}

static void dispatch(struct epoll_event *event) {
  if (event->data.ptr == &beat)
    turn_wheel();
  else if (event->data.ptr == &listener)
    welcome();
  else
    serve(event->data.ptr);
}

static void run(void) {
  struct epoll_event event;
  while (!is_over)
    if (epoll_wait(watch, &event, 1, -1) == 1)
      dispatch(&event);
}

int main(int count, char **arguments) {
  set_up(count > 1 ? arguments[1] : "0");
  say_hello();
  start_wheel();
  watch_all();
  run();
  printf("pulsed %d: ends\n", VERSION);
  return 0;
}

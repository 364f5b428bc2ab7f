/* A loop that never leaves the stack and that changes what its frame holds, in the leader and in threads: 2 has a larger frame, 3 a session
 * without its first member, 4 a frame that is larger than what the leader's stack has so far. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
#if VERSION != 3
  long spare;
#endif
  long magic;
  long count;
  struct session *self;
  char name[24];
  char *at;
};

static struct session *registered[3];
static jmp_buf back[3];
static int jumps;
static int pipes[3][2];
static int answers[3][2];

static int __attribute__((noinline)) next_byte(int from, char *byte) { return read(from, byte, 1) == 1; }

/* Waits for a line, too: the kernel's record of the signal lies between it and the loop. */
static void on_signal(int number) {
  char byte;
  dprintf(1, "in the handler of %d\n", number);
  while (next_byte(0, &byte) && byte != '\n')
    ;
}

/* The same in all builds: below the loop on every stack, with a pointer into its frame. */
static int __attribute__((noinline)) wait_line(long number, char *line, int room) {
  volatile int length = 0;
  if (setjmp(back[number]))
    jumps++;
  length = 0;
  for (;;) {
    char byte;
    if (!next_byte(number ? pipes[number][0] : 0, &byte))
      return 0;
    if (byte == '\n') {
      line[length] = 0;
      if (!strcmp(line, "jump"))
        longjmp(back[number], 1);
      if (strcmp(line, "signal"))
        return 1;
      raise(SIGUSR1);
      length = 0;
      continue;
    }
    if (length < room - 1)
      line[length++] = byte;
  }
}

static void __attribute__((noinline)) say(long number, const char *text) {
  dprintf(number ? answers[number][1] : 1, "%s\n", text);
}

static void __attribute__((noinline))
tell(long number, struct session *session, const char *line, int version) {
  char text[200];
  long wrong = 0;
  wrong += session->magic != 0x5e5510;
  wrong += session->self != session;
  wrong += registered[number] != session;
  wrong += session->at != session->name + 3;
  wrong += strcmp(session->name, "a session") != 0;
  wrong += session->count % (40 + number) != 0;
  snprintf(text, sizeof text, "version %d %s count %ld wrong %ld jumps %d", version, line, session->count, wrong, jumps);
  say(number, text);
}

void __attribute__((noinline)) loop(long number, long seed) {
  struct session session;
  char line[64];
  session.magic = 0x5e5510;
  session.count = 0;
  session.self = &session;
  strcpy(session.name, "a session");
  session.at = session.name + 3;
  registered[number] = &session;
  while (wait_line(number, line, sizeof line)) {
#if VERSION == 2
    volatile char room[400];
    room[7] = 1;
#elif VERSION == 4
    volatile char room[400000];
    room[7] = 1;
#endif
    session.count += seed;
    tell(number, &session, line, VERSION);
    if (!strcmp(line, "quit"))
      return;
  }
}

static void *body(void *number) {
  loop((long)number, 40 + (long)number);
  return NULL;
}


int main(void) {
  pthread_t threads[3];
  signal(SIGUSR1, on_signal);
  for (long number = 1; number < 3; number++) {
    if (pipe(pipes[number]) || pipe(answers[number]) || pthread_create(&threads[number], NULL, body, (void *)number))
      return 1;
  }
  loop(0, 40);
  for (long number = 1; number < 3; number++) {
    char answer[128];
    if (!wait_line(0, answer, sizeof answer))
      return 1;
    dprintf(pipes[number][1], "quit\n");
    ssize_t length = read(answers[number][0], answer, sizeof answer);
    if (length <= 0 || write(1, answer, length) != length)
      return 1;
    pthread_join(threads[number], NULL);
  }
  return 0;
}

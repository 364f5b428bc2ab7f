/* A loop that never leaves the stack and that changes only what its frame holds (-DVERSION=1, 2), in the leader and in threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
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

/* The same in both builds: below the loop on every stack, with a pointer into its frame. */
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
      if (strcmp(line, "jump"))
        return 1;
      longjmp(back[number], 1);
    }
    if (length < room - 1)
      line[length++] = byte;
  }
}

static void __attribute__((noinline)) say(long number, const char *text) {
  dprintf(number ? answers[number][1] : 1, "%s\n", text);
}

static long __attribute__((noinline)) wrong(long number, struct session *session, long seed) {
  long wrong = 0;
  wrong += session->magic != 0x5e5510;
  wrong += session->self != session;
  wrong += registered[number] != session;
  wrong += session->at != session->name + 3;
  wrong += strcmp(session->name, "a session") != 0;
  wrong += seed != 40 + number;
  return wrong;
}

void __attribute__((noinline)) loop(long number, long seed) {
#if VERSION == 2
  char text[400];
#else
  char text[96];
#endif
  struct session session;
  char line[64];
  session.magic = 0x5e5510;
  session.count = 0;
  session.self = &session;
  strcpy(session.name, "a session");
  session.at = session.name + 3;
  registered[number] = &session;
  while (wait_line(number, line, sizeof line)) {
    session.count += seed;
    snprintf(text, sizeof text, "version %d %s count %ld wrong %ld jumps %d", VERSION, line, session.count,
             wrong(number, &session, seed), jumps);
    say(number, text);
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
  for (long number = 1; number < 3; number++) {
    if (pipe(pipes[number]) || pipe(answers[number]) || pthread_create(&threads[number], NULL, body, (void *)number))
      return 1;
  }
  loop(0, 40);
  for (long number = 1; number < 3; number++) {
    dprintf(pipes[number][1], "quit\n");
    char answer[128];
    ssize_t length = read(answers[number][0], answer, sizeof answer);
    if (length <= 0 || write(1, answer, length) != length)
      return 1;
    pthread_join(threads[number], NULL);
  }
  return 0;
}

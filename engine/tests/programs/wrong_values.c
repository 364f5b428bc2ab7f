/* Values that follow-the-symbol gets silently wrong (-DVERSION=1, 2): each is right after an update, or the update is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An end pointer: a new version puts something between the array and what follows it. */
static int samples[8] __attribute__((aligned(32))) = {1, 2, 3, 4, 5, 6, 7, 8};
#if VERSION >= 2
long between[4] = {9, 9, 9, 9};
#endif
static struct total {
  long sum;
} total __attribute__((aligned(32))) = {36};
static int *samples_end;
static struct total *the_total;

/* A default that a new version changes, while nobody has touched the variable. */
int untouched = VERSION * 10;
int touched = VERSION * 10;

/* A table that gains a row before the one that is pointed to. */
static const struct level {
  const char *name;
  int value;
} levels[] = {
    {"debug", 7},
#if VERSION >= 2
    {"verbose", 6},
#endif
    {"info", 5},
    {"error", 3},
};
static const struct level **chosen;

static int __attribute__((noinline)) add_up(void) {
  long sum = 0;
  for (int *at = samples; at < samples_end; at++)
    sum += *at;
  return (int)(sum - the_total->sum);
}

static void __attribute__((noinline)) set_up(void) {
  samples_end = samples + 8;
  the_total = &total;
  touched += 5;
  chosen = malloc(sizeof *chosen);
  for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
    if (!strcmp(levels[i].name, "info"))
      *chosen = &levels[i];
}

static int __attribute__((noinline)) read_line(char *line, int size) {
  int length = 0;
  while (length < size - 1) {
    char byte;
    if (read(0, &byte, 1) != 1)
      return -1;
    if (byte == '\n')
      break;
    line[length++] = byte;
  }
  line[length] = 0;
  return length;
}

static void __attribute__((noinline)) report(void) {
  printf("%d off %d, %d %d, %s %d\n", VERSION, add_up(), untouched, touched, (*chosen)->name, (*chosen)->value);
  fflush(stdout);
}

int main(void) {
  char line[100];
  set_up();
  while (read_line(line, sizeof line) >= 0)
    report();
  return 0;
}

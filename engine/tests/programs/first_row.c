/* A pointer to the first row of a table that gains one before it: it may mean the row or the table (-DVERSION=1, 2). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct row {
  const char *name;
  int value;
} rows[] = {
#if VERSION >= 2
    {"new", 1},
#endif
    {"first", 2},
    {"second", 3},
};

static const struct row **chosen;

static int __attribute__((noinline)) read_line(void) {
  char byte = 0;
  while (byte != '\n')
    if (read(0, &byte, 1) != 1)
      return -1;
  return 0;
}

static void __attribute__((noinline)) choose(void) {
  chosen = malloc(sizeof *chosen);
  *chosen = &rows[sizeof rows / sizeof *rows - 2];
}

static void __attribute__((noinline)) report(void) {
  printf("%s\n", (*chosen)->name);
  fflush(stdout);
}

int main(void) {
  choose();
  while (read_line() >= 0)
    report();
  return 0;
}

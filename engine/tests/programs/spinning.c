/* Threads that never leave changed functions and make no call in them: told apart by what they work out, which `report` does again.
 * -DVERSION=2 tells more behind each loop. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int stop;
static long told;
static int ready[2];
static int held[2];

static void __attribute__((noinline)) report(const char *what, int right, int version) {
  dprintf(1, "%s %s in version %d told %ld\n", what, right ? "right" : "wrong", version, told);
}

static void __attribute__((noinline)) begin(void) {
  if (write(ready[1], "", 1) != 1)
    abort();
}

static unsigned long step(unsigned long value) { return value * 6364136223846793005ul + 1442695040888963407ul; }

/* Values in registers, a loop without a call or a store. */
static void *spin(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, mixed = 0, rounds = 0;
  begin();
  while (!stop) {
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    mixed ^= value >> 29;
    rounds++;
  }
#if VERSION == 2
  told++;
#endif
  unsigned long again = seed, other = 0;
  for (unsigned long round = 0; round < rounds; round++) {
    again = step(again);
    other ^= again >> 29;
  }
  report("spin", again == value && other == mixed, VERSION);
  return NULL;
}

/* Nested loops over arrays, numbers of both kinds. */
enum { SIDE = 24 };
static double left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];

static void *multiply(void *argument) {
  long rounds = 0, first = (long)argument;
  begin();
  while (!stop) {
    for (int i = 0; i < SIDE; i++)
      for (int j = 0; j < SIDE; j++) {
        double sum = first;
        for (int k = 0; k < SIDE; k++)
          sum += left[i][k] * right[k][j];
        product[i][j] = sum;
      }
    rounds++;
  }
#if VERSION == 2
  told += 10;
#endif
  int wrong = rounds == 0;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      double sum = first;
      for (int k = 0; k < SIDE; k++)
        sum += left[i][k] * right[k][j];
      wrong += sum != product[i][j];
    }
  report("multiply", !wrong, VERSION);
  return NULL;
}

/* Struck by a signal, with the handler on top. */
static void on_signal(int number) {
  char byte;
  (void)number;
  begin();
  while (read(held[0], &byte, 1) != 1)
    ;
}

static void *(*const bodies[])(void *) = {spin, multiply};

int main(int argc, char **argv) {
  pthread_t thread;
  char line[32];
  char byte;
  int which = argc > 1 && !strcmp(argv[1], "multiply");
  if (pipe(ready) || pipe(held))
    return 1;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      left[i][j] = i + 2 * j + 0.5;
      right[i][j] = 3 * i - j + 0.25;
    }
  signal(SIGUSR1, on_signal);
  pthread_create(&thread, NULL, bodies[which], (void *)(long)getpid());
  if (read(ready[0], &byte, 1) != 1)
    return 1;
  dprintf(1, "running\n");
  while (fgets(line, sizeof line, stdin) && strcmp(line, "stop\n")) {
    if (!strcmp(line, "strike\n")) {
      pthread_kill(thread, SIGUSR1);
      if (read(ready[0], &byte, 1) != 1)
        return 1;
    } else if (!strcmp(line, "leave\n") && write(held[1], "", 1) != 1)
      return 1;
    dprintf(1, "done\n");
  }
  stop = 1;
  pthread_join(thread, NULL);
  return 0;
}

/* Threads that never leave changed functions, and are most of the time where they cannot go on in the new code: in the middle of what the
 * versions work out differently. Each tells itself right or wrong at the end by doing what it did again.
 *   stepped alone|pair|read [SIGNALS]   SIGNALS: a child sends so many, and the handler counts them */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;
static volatile unsigned long mixed, waited;
static volatile int turn;
static volatile long struck;
static int doors[2];

#if VERSION == 2
#define MIX(value, number) (((value) ^ ((value) >> 9)) * (2 * (number) + 3))
#else
#define MIX(value, number) (((value) + ((value) << 7)) ^ ((value) >> ((number) % 5 + 3)))
#endif
#define MIX4(value, number) MIX(MIX(MIX(MIX(value, number), number + 1), number + 2), number + 3)

/* What nobody may come into the middle of: every value on the way is another one in the other version. */
#define FOLD(value)                                                                                                                         \
  do {                                                                                                                                      \
    unsigned long fold = (value);                                                                                                           \
    fold = MIX4(fold, 1);                                                                                                                   \
    fold = MIX4(fold, 5);                                                                                                                   \
    fold = MIX4(fold, 9);                                                                                                                   \
    mixed = fold;                                                                                                                           \
  } while (0)

static void __attribute__((noinline)) report(const char *what, int right) {
  dprintf(1, "%s %s in version %d\n", what, right ? "right" : "wrong", VERSION);
}

static unsigned long next(unsigned long value) { return value * 6364136223846793005ul + 1442695040888963407ul; }

static int again(unsigned long seed, unsigned long rounds, unsigned long value) {
  for (unsigned long round = 0; round < rounds; round++)
    seed = next(seed);
  return rounds > 0 && seed == value;
}

static void *alone(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0;
  while (!stop) {
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    FOLD(value);
  }
  report("alone", again(seed, rounds, value));
  return NULL;
}

/* Two of these take turns: each waits for the other where neither can go on in the new code. */
static void *pair(void *argument) {
  int own = (int)(long)argument;
  unsigned long seed = 77 + own, value = seed, rounds = 0;
  while (!stop) {
    while (turn != own && !stop) {
      unsigned long fold = waited;
      fold = MIX4(fold, 2);
      fold = MIX4(fold, 6);
      waited = fold;
    }
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    turn = !own;
  }
  report("pair", again(seed, rounds, value));
  return NULL;
}

/* Makes a system call by itself in each round that waits for a byte, with what only this version works out around it. */
static void *reader(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0;
  char byte = 0;
  while (byte != 'e') {
    long got;
    unsigned long fold = MIX4(value, 3);
    __asm__ volatile("syscall" : "=a"(got) : "a"(0L), "D"((long)doors[0]), "S"(&byte), "d"(1L) : "rcx", "r11", "memory");
    mixed = MIX4(fold, 7);
    if (got != 1)
      continue;
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
  }
  report("read", rounds == 11 && again(seed, rounds, value));
  return NULL;
}

static void on_signal(int number) {
  (void)number;
  __atomic_add_fetch(&struck, 1, __ATOMIC_RELAXED);
}

int main(int argc, char **argv) {
  pthread_t threads[2];
  char line[32];
  const char *mode = argc > 1 ? argv[1] : "alone";
  long signals = argc > 2 ? atol(argv[2]) : 0, count = strcmp(mode, "pair") ? 1 : 2;
  pid_t child = 0, own = getpid();
  sigset_t all, real;
  if (pipe(doors))
    return 1;
  signal(SIGRTMIN + 3, on_signal);
  /* The main thread takes none: they are for those that are stepped. */
  sigemptyset(&real);
  sigaddset(&real, SIGRTMIN + 3);
  for (long i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, *mode == 'p' ? pair : *mode == 'r' ? reader : alone, (void *)(*mode == 'p' ? i : (long)own));
  pthread_sigmask(SIG_BLOCK, &real, &all);
  dprintf(1, "running\n");
  while (fgets(line, sizeof line, stdin) && strcmp(line, "stop\n")) {
    if (!strcmp(line, "signals\n")) {
      child = fork();
      if (!child) {
        for (long i = 0; i < signals; i++) {
          union sigval nothing = {0};
          while (sigqueue(own, SIGRTMIN + 3, nothing))
            usleep(100);
          usleep(200);
        }
        _exit(0);
      }
    } else if (!strcmp(line, "byte\n") && write(doors[1], "b", 1) != 1)
      return 1;
    dprintf(1, "done\n");
  }
  if (child)
    waitpid(child, NULL, 0);
  while (struck < signals)
    usleep(1000);
  stop = 1;
  if (write(doors[1], "e", 1) != 1)
    return 1;
  for (long i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
  dprintf(1, "signals %ld\n", struck);
  return 0;
}

/* Threads that never leave changed functions, and are most of the time where they cannot go on in the new code: in the middle of what the
 * versions work out differently. Each tells itself right or wrong at the end by doing what it did again.
 *   stepped alone|pair|read|fill|clock|sequence|int3|kernel [SIGNALS [blocked|sent]]
 *     SIGNALS: a child sends so many, and the handler counts them; blocked: so is SIGTRAP; sent: the child sends so many of that, which are
 *     waited for */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;
static volatile unsigned long mixed;
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

static int blocked;
static void (*on_trap)(int) = SIG_DFL;

static void __attribute__((noinline)) report(const char *what, int right) {
  struct sigaction trap;
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  sigaction(SIGTRAP, NULL, &trap);
  right = right && sigismember(&now, SIGTRAP) == blocked && trap.sa_handler == on_trap;
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

/* Two of these take turns. Each waits for the other in a loop in which it cannot go on in the new code, and has a few instructions between
 * giving the turn away and that loop. */
static void *pair(void *argument) {
  int own = (int)(long)argument;
  unsigned long seed = 77 + own, value = seed, rounds = 0;
  while (!stop) {
    unsigned long fold = rounds;
    while (turn != own && !stop) {
      fold = MIX4(fold, 2);
      __asm__ volatile("" : "+r"(fold));
    }
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    turn = !own;
    for (int i = 0; i < 8; i++) {
      value = value * 6364136223846793005ul + 1442695040888963407ul;
      rounds++;
    }
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
    unsigned long fold = MIX4(value ^ mixed, 3);
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

/* Is most of the time in the middle of one instruction that repeats itself. */
enum { LENGTH = 1 << 22, BEYOND = 4096 };
static unsigned char filled[LENGTH + BEYOND];

static void *fill(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0, wrong = 0, length = LENGTH;
  while (!stop) {
    void *to = filled;
    unsigned long left = length;
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(left) : "a"(rounds) : "memory");
    FOLD(value);
    wrong += to != filled + LENGTH || left || filled[0] != (rounds & 255) || filled[LENGTH - 1] != (rounds & 255);
  }
  for (int i = 0; i < BEYOND; i++)
    wrong += filled[LENGTH + i] != 0;
  report("fill", !wrong && again(seed, rounds, value));
  return NULL;
}

/* Asks the kernel's own code in the process for the time, most of the time. */
static void *clock_reader(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0, wrong = 0, last = 0;
  struct timespec now = {0, 0};
  while (!stop) {
    wrong += clock_gettime(CLOCK_MONOTONIC, &now) != 0;
    unsigned long told = now.tv_sec * 1000000000ul + now.tv_nsec;
    wrong += told < last;
    last = told;
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    FOLD(value);
  }
  report("clock", !wrong && again(seed, rounds, value));
  return NULL;
}

/* A restartable sequence that is long: where a thread that runs it is preempted, the kernel has it give up and begin again. */
static unsigned long counted, given_up;
extern const char sequence_begins[], sequence_ends[];

static void __attribute__((noinline)) count_in_sequence(void) {
  struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  unsigned long next;
  __asm__ volatile(".pushsection .data.rel.ro.sequences, \"aw\"\n"
                   ".balign 32\n"
                   ".type sequence_told, @object\n"
                   ".size sequence_told, 32\n"
                   "sequence_told: .long 0, 0\n"
                   ".quad sequence_begins, sequence_ends - sequence_begins, sequence_is_given_up\n"
                   ".popsection\n"
                   "3: leaq sequence_told(%%rip), %0\n"
                   "movq %0, %1\n"
                   "sequence_begins: movq %2, %0\n"
                   ".rept 200\n"
                   "addq $5, %0\n"
                   ".endr\n"
                   "movq %0, %2\n"
                   "sequence_ends: jmp 5f\n"
                   ".byte 0xb8\n" /* with the signature: an instruction that nobody runs */
                   ".long 0x53053053\n"
                   "sequence_is_given_up: addq $1, %3\n"
                   "jmp 3b\n"
                   "5:\n"
                   : "=&r"(next), "=m"(area->rseq_cs), "+m"(counted), "+m"(given_up)
                   :
                   : "cc", "memory");
}

/* Apart from main, which must not change: what it compiles to names places within a function. */
static void __attribute__((noinline)) tell_places(void) {
  dprintf(1, "%lu %lu\n", (unsigned long)sequence_begins, (unsigned long)sequence_ends);
}

static void *sequence(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0;
  while (!stop) {
    count_in_sequence();
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    FOLD(value);
  }
  report("sequence", counted == rounds * 1000 && given_up && again(seed, rounds, value));
  return NULL;
}

/* What takes long, returns, and has no place on the way where anybody could go on; now and then with calls that no thread is let through. */
enum { LONG = 20000 };

static unsigned long __attribute__((noinline)) unchanged(unsigned long value) {
  for (int i = 0; i < LONG; i++)
    value = next(value);
  return value;
}

static unsigned long __attribute__((noinline)) kernel(unsigned long value, const sigset_t *one, unsigned long *wrong) {
  unsigned long fold = value;
  for (int i = 0; i < LONG; i++)
    fold = MIX4(fold, i);
  if (value % 4 == 0) {
    sigset_t before;
    *wrong += pthread_sigmask(SIG_BLOCK, one, &before) || sigismember(&before, SIGUSR1);
    *wrong += pthread_sigmask(SIG_UNBLOCK, one, &before) || !sigismember(&before, SIGUSR1);
  }
  for (int i = 0; i < LONG; i++)
    fold = MIX4(fold, i);
  mixed = fold;
  return value;
}

static void *computing(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0, wrong = 0;
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  while (!stop) {
    value = unchanged(value);
    rounds += LONG;
    wrong += kernel(value, &one, &wrong) != value;
  }
  report("kernel", !wrong && again(seed, rounds, value));
  return NULL;
}

/* Has breakpoints of its own, which its handler counts. */
static unsigned long trapped;

static void count_trap(int number) {
  (void)number;
  trapped++;
}

static void *trapper(void *argument) {
  unsigned long seed = (unsigned long)argument, value = seed, rounds = 0;
  while (!stop) {
    value = value * 6364136223846793005ul + 1442695040888963407ul;
    rounds++;
    __asm__ volatile("int3" ::: "memory");
    FOLD(value);
  }
  report("int3", trapped == rounds && again(seed, rounds, value));
  return NULL;
}

/* Counts the traps that the child sends, one after the other. */
static long waited_for;

static void *waiter(void *argument) {
  sigset_t trap;
  sigemptyset(&trap);
  sigaddset(&trap, SIGTRAP);
  for (long i = 0; i < (long)argument; i++) {
    siginfo_t told;
    while (sigwaitinfo(&trap, &told) != SIGTRAP || told.si_code != SI_USER)
      if (told.si_signo == SIGTRAP && told.si_code != SI_USER)
        return NULL;
    __atomic_add_fetch(&waited_for, 1, __ATOMIC_RELAXED);
    if (write(doors[1], "t", 1) != 1)
      return NULL;
  }
  return NULL;
}

static void on_signal(int number) {
  (void)number;
  __atomic_add_fetch(&struck, 1, __ATOMIC_RELAXED);
}

int main(int argc, char **argv) {
  pthread_t threads[2], waits;
  char line[32];
  const char *mode = argc > 1 ? argv[1] : "alone";
  long signals = argc > 2 ? atol(argv[2]) : 0, count = strcmp(mode, "pair") ? 1 : 2;
  pid_t child = 0, own = getpid();
  sigset_t all, real;
  if (pipe(doors))
    return 1;
  signal(SIGRTMIN + 3, on_signal);
  int sent = argc > 3 && !strcmp(argv[3], "sent");
  if (!strcmp(mode, "int3"))
    signal(SIGTRAP, on_trap = count_trap);
  if (argc > 3) {
    blocked = 1;
    sigemptyset(&real);
    sigaddset(&real, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &real, NULL);
  }
  /* The main thread takes none: they are for those that are stepped. */
  sigemptyset(&real);
  sigaddset(&real, SIGRTMIN + 3);
  for (long i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, *mode == 'p' ? pair : *mode == 'r' ? reader : *mode == 'f' ? fill : *mode == 'c' ? clock_reader : *mode == 's' ? sequence : *mode == 'i' ? trapper : *mode == 'k' ? computing : alone, (void *)(*mode == 'p' ? i : (long)own));
  pthread_sigmask(SIG_BLOCK, &real, &all);
  if (sent)
    pthread_create(&waits, NULL, waiter, (void *)signals);
  dprintf(1, "running\n");
  while (fgets(line, sizeof line, stdin) && strcmp(line, "stop\n")) {
    if (!strcmp(line, "signals\n")) {
      child = fork();
      if (!child) {
        char byte;
        for (long i = 0; i < signals && sent; i++)
          if (usleep(200) || kill(own, SIGTRAP) || read(doors[0], &byte, 1) != 1)
            _exit(1);
        for (long i = 0; i < signals && !sent; i++) {
          union sigval nothing = {0};
          while (sigqueue(own, SIGRTMIN + 3, nothing))
            usleep(100);
          usleep(200);
        }
        _exit(0);
      }
    } else if (!strcmp(line, "places\n")) {
      tell_places();
      continue;
    } else if (!strcmp(line, "byte\n") && write(doors[1], "b", 1) != 1)
      return 1;
    dprintf(1, "done\n");
  }
  if (child)
    waitpid(child, NULL, 0);
  if (sent && (pthread_join(waits, NULL) || waited_for != signals))
    dprintf(1, "wrong: %ld traps\n", waited_for);
  while (struck < signals && !sent)
    usleep(1000);
  stop = 1;
  if (write(doors[1], "e", 1) != 1)
    return 1;
  for (long i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
  dprintf(1, "signals %ld\n", sent ? waited_for : struck);
  return 0;
}

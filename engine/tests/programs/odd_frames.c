/* Frames that are not of one size, not where a call would put them, or of a library in the middle: each mode waits inside one, does what it
 * was about to do, and tells itself right or wrong. With -DCHANGED the functions on the stack do one thing more in version 2, else only
 * others differ.
 *   odd_frames MODE      says `waiting`, goes on at a line of input */
#include <alloca.h>
#include <pthread.h>
#include <search.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

static volatile long extras;
static int depth_wanted = 12000;

__attribute__((unused)) NOINLINE static void extra(long value) { extras += value ? 1 : 2; }

#if VERSION == 2 && defined(CHANGED)
#define MORE(value) extra(value)
#else
#define MORE(value)
#endif

NOINLINE static int version(void) {
  int number = VERSION;
  /* Not known where it is called. */
  __asm__ volatile("" : "+r"(number));
  return number;
}

static int doors[2];

NOINLINE static void wait_here(void) {
  char byte;
  dprintf(1, "waiting\n");
  while (read(0, &byte, 1) == 1 && byte != '\n')
    ;
}

NOINLINE static unsigned long sum(const unsigned char *bytes, long count) {
  unsigned long total = 0;
  for (long i = 0; i < count; i++)
    total = total * 3 + bytes[i];
  return total;
}

NOINLINE static void fill(unsigned char *bytes, long count) {
  for (long i = 0; i < count; i++)
    bytes[i] = (unsigned char)(i * 7 + count);
}

NOINLINE static int with_alloca(long count) {
  unsigned char *bytes = alloca((size_t)count);
  fill(bytes, count);
  unsigned long before = sum(bytes, count);
  wait_here();
  MORE(count);
  return before == sum(bytes, count);
}

NOINLINE static int with_array(long count) {
  unsigned char bytes[count], others[count / 2 + 1];
  fill(bytes, count);
  fill(others, count / 2);
  unsigned long before = sum(bytes, count) + sum(others, count / 2);
  wait_here();
  MORE(count);
  return before == sum(bytes, count) + sum(others, count / 2) && sizeof bytes == (size_t)count;
}

NOINLINE static int with_aligned(long count) {
  unsigned char bytes[128] __attribute__((aligned(64)));
  fill(bytes, count);
  unsigned long before = sum(bytes, count);
  wait_here();
  MORE(count);
  return before == sum(bytes, count) && (unsigned long)bytes % 64 == 0;
}

/* A vector on the stack, wider than the stack is aligned. */
typedef double wide __attribute__((vector_size(32)));

NOINLINE static int with_vector(long count) {
  wide values = {count, count + 1, count + 2, count + 3};
  __asm__ volatile("" : "+m"(values));
  wait_here();
  MORE(count);
  return values[0] == count && values[3] == count + 3 && (unsigned long)&values % 32 == 0;
}

NOINLINE static int with_buffer(long count) {
  unsigned char bytes[48];
  fill(bytes, count);
  unsigned long before = sum(bytes, count);
  wait_here();
  MORE(count);
  return before == sum(bytes, count);
}

/* Handlers. */
static volatile long handled;

static void on_signal(int number) {
  unsigned char bytes[32];
  fill(bytes, number);
  unsigned long before = sum(bytes, number);
  wait_here();
  MORE(number);
  handled += before == sum(bytes, number);
}

NOINLINE static int struck(long count) {
  long before = count * 5;
  raise(SIGUSR1);
  MORE(count);
  return handled == 1 && before == count * 5;
}

/* The same in all builds. */
static void on_plain_signal(int number) {
  unsigned char bytes[40];
  fill(bytes, number + 3);
  unsigned long before = sum(bytes, number + 3);
  wait_here();
  handled += before == sum(bytes, number + 3);
}

/* On a stack of its own: a block, memory that was mapped, or a variable of the program. */
NOINLINE static int on_alternate(void *room, int with_changed_handler) {
  stack_t stack = {.ss_sp = room, .ss_size = 1 << 16}, now;
  struct sigaction action = {.sa_handler = with_changed_handler ? on_signal : on_plain_signal, .sa_flags = SA_ONSTACK};
  sigaltstack(&stack, NULL);
  sigaction(SIGUSR1, &action, NULL);
  int right = struck(21);
  sigaltstack(NULL, &now);
  return right && !(now.ss_flags & SS_ONSTACK);
}

static unsigned char alternate[1 << 16] __attribute__((aligned(64)));

/* Libraries that call back. */
static int compared;

static int compare(const void *a, const void *b) {
  int left = *(const int *)a, right = *(const int *)b;
  if (++compared == 3) {
    wait_here();
    MORE(left);
  }
  return left < right ? -1 : left > right;
}

NOINLINE static int sorted(long count) {
  int numbers[40];
  for (long i = 0; i < count; i++)
    numbers[i] = (int)(i * 23 % count);
  qsort(numbers, (size_t)count, sizeof *numbers, compare);
  MORE(count);
  for (long i = 0; i < count; i++)
    if (numbers[i] != i)
      return 0;
  return 1;
}

NOINLINE static int searched(long count) {
  static int numbers[1000];
  for (int i = 0; i < 1000; i++)
    numbers[i] = i * 2;
  int wanted = (int)count * 2;
  int *found = bsearch(&wanted, numbers, 1000, sizeof *numbers, compare);
  MORE(count);
  return found == numbers + count;
}

static long visited;

static void visit(const void *node, VISIT which, int level) {
  (void)level;
  if (which == postorder || which == leaf) {
    visited = visited * 10 + **(const int *const *)node;
    if (**(const int *const *)node == 3) {
      wait_here();
      MORE(level);
    }
  }
}

NOINLINE static int walked(long count) {
  static int numbers[] = {3, 1, 5, 2, 4};
  void *root = NULL;
  compared = 100;
  for (long i = 0; i < count; i++)
    tsearch(&numbers[i], &root, compare);
  twalk(root, visit);
  MORE(count);
  return visited == 12345;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int made;

static void make(void) {
  wait_here();
  MORE(1);
  made++;
}

NOINLINE static int made_once(long count) {
  (void)count;
  pthread_once(&once, make);
  pthread_once(&once, make);
  MORE(count);
  return made == 1;
}

/* Threads: cleanup handlers, and what a start routine has. */
static long cleaned;

static void clean(void *argument) { cleaned += *(long *)argument; }

static void *cancelled(void *argument) {
  long own = (long)argument, *block = malloc(sizeof own);
  char byte;
  *block = own;
  pthread_cleanup_push(clean, &own);
  pthread_cleanup_push(clean, block);
  dprintf(1, "waiting\n");
  if (read(doors[0], &byte, 1) == 1)
    own = 0;
  MORE(own);
  pthread_cleanup_pop(1);
  pthread_cleanup_pop(1);
  return NULL;
}

NOINLINE static int cleans_up(long count) {
  pthread_t thread;
  char byte;
  void *result;
  if (pipe(doors) || pthread_create(&thread, NULL, cancelled, (void *)count))
    return 0;
  while (read(0, &byte, 1) == 1 && byte != '\n')
    ;
  pthread_cancel(thread);
  pthread_join(thread, &result);
  return result == PTHREAD_CANCELED && cleaned == 2 * count;
}

static void *body(void *argument) {
  long own = (long)argument;
  wait_here();
  MORE(own);
  return (void *)(own * 3);
}

NOINLINE static int runs_body(long count) {
  pthread_t thread;
  void *result;
  pthread_create(&thread, NULL, body, (void *)count);
  pthread_join(thread, &result);
  return (long)result == count * 3;
}

/* In a thread with little stack: its new frame is larger than all of that. */
#if VERSION == 2 && defined(CHANGED)
enum { ROOM = 100000 };
#else
enum { ROOM = 100 };
#endif

static void *crowded(void *argument) {
  unsigned char bytes[ROOM];
  long own = (long)argument;
  wait_here();
  fill(bytes, ROOM);
  return (void *)(sum(bytes, 10) ? own * 3 : 0);
}

NOINLINE static int has_little_stack(long count) {
  pthread_attr_t attributes;
  pthread_t thread;
  void *result;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1 << 16);
  pthread_create(&thread, &attributes, crowded, (void *)count);
  pthread_join(thread, &result);
  return (long)result == count * 3;
}

/* Contexts and jumps. */
static ucontext_t outside, inside;
static long carried;

static void routine(int first, int second) {
  unsigned char bytes[64];
  fill(bytes, first);
  unsigned long before = sum(bytes, first);
  swapcontext(&inside, &outside);
  MORE(first);
  carried = before == sum(bytes, first) ? second : -1;
}

NOINLINE static int switches(long count) {
  static unsigned char room[1 << 16] __attribute__((aligned(64)));
  getcontext(&inside);
  inside.uc_stack.ss_sp = room;
  inside.uc_stack.ss_size = sizeof room;
  inside.uc_link = &outside;
  makecontext(&inside, (void (*)(void))routine, 2, (int)count, 77);
  swapcontext(&outside, &inside);
  wait_here();
  swapcontext(&outside, &inside);
  return carried == 77;
}

static jmp_buf back;

NOINLINE static void jumps(long count) {
  wait_here();
  MORE(count);
  longjmp(back, (int)count);
}

NOINLINE static int jumped(volatile long count) {
  int came = setjmp(back);
  if (!came)
    jumps(count);
  MORE(came);
  return came == count;
}

NOINLINE static long deep(long depth) {
  long own = depth * 3 + 1;
  long below = 0;
  if (depth == 0)
    wait_here();
  else
    below = deep(depth - 1);
  MORE(own == 1);
  /* No loop may take the place of the recursion. */
  __asm__ volatile("" : "+r"(below));
  return below * 7 + own;
}

NOINLINE static int recursion(long count) {
  unsigned long wanted = 0;
  for (long i = 0; i <= count; i++)
    wanted = wanted * 7 + (unsigned long)i * 3 + 1;
  return (unsigned long)deep(count) == wanted;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (argc > 2)
    depth_wanted = atoi(argv[2]);
  int right = !strcmp(mode, "alloca")      ? with_alloca(1000)
              : !strcmp(mode, "array")     ? with_array(500)
              : !strcmp(mode, "aligned")   ? with_aligned(100)
              : !strcmp(mode, "wide")      ? with_vector(12)
              : !strcmp(mode, "buffer")    ? with_buffer(40)
              : !strcmp(mode, "handler")   ? on_alternate(malloc(1 << 16), 1)
              : !strcmp(mode, "beneath")   ? on_alternate(malloc(1 << 16), 0)
              : !strcmp(mode, "inside")    ? on_alternate(alternate, 1)
              : !strcmp(mode, "under")     ? on_alternate(alternate, 0)
              : !strcmp(mode, "sort")      ? sorted(40)
              : !strcmp(mode, "search")    ? searched(333)
              : !strcmp(mode, "walk")      ? walked(5)
              : !strcmp(mode, "once")      ? made_once(1)
              : !strcmp(mode, "cleanup")   ? cleans_up(9)
              : !strcmp(mode, "body")      ? runs_body(14)
              : !strcmp(mode, "little")    ? has_little_stack(8)
              : !strcmp(mode, "context")   ? switches(50)
              : !strcmp(mode, "jump")      ? jumped(6)
              : !strcmp(mode, "deep")      ? recursion(depth_wanted)
                                           : 0;
  dprintf(1, "%s %s in version %d extras %ld\n", mode, right ? "right" : "wrong", version(), extras);
  return !right;
}

/* A program in versions (-DVERSION=1, 2, …) that checks itself: functions, tables, globals and literals move and change. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#if VERSION >= 2
int added_first[40] = {1, 2, 3};
static const char *fresh = "only in later versions";
int __attribute__((noinline)) added_function(int x) { return x * 3 + added_first[x & 3]; }
#endif

static int counter = 5;
static int limit = VERSION * 100;
long big[100];
static __thread int local_count = 7;
static __thread const char *local_text = "thread text";

static int __attribute__((noinline)) twice(int x) {
#if VERSION >= 2
  return x * 2 + (int)strlen(fresh) - (int)strlen(fresh);
#else
  return x + x;
#endif
}
static int __attribute__((noinline)) thrice(int x) { return x * 3; }

struct command {
  const char *name;
  int (*run)(int);
  int cost;
};

static const struct command commands[] = {
    {"none", NULL, 0},
#if VERSION >= 2
    {"added", added_function, 1},
#endif
    {"twice", twice, 2},
    {"thrice", thrice, 3},
};

struct holder {
  int (*run)(int);
  const struct command *command;
  const char *text;
  long *slot;
  struct holder *next;
};

static struct holder *list;
static const char *greeting = "hello from one";
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static int ready;
static volatile int signalled;
static jmp_buf here;

static void on_signal(int number) { signalled += number; }

static void *waiter(void *unused) {
  (void)unused;
  local_count = 70;
  pthread_mutex_lock(&lock);
  while (!ready)
    pthread_cond_wait(&wake, &lock);
  pthread_mutex_unlock(&lock);
  return (void *)(long)local_count;
}

static void say_goodbye(void) {
  printf("goodbye %d %d\n", VERSION, counter);
  fflush(stdout);
}

static const struct command *__attribute__((noinline)) find(const char *name) {
  for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
    if (!strcmp(commands[i].name, name))
      return &commands[i];
  return NULL;
}

static void __attribute__((noinline)) prepare(void) {
  for (int i = 0; i < 10; i++) {
    struct holder *one = malloc(sizeof *one);
    one->run = i & 1 ? twice : thrice;
    one->command = find(i & 1 ? "twice" : "thrice");
    one->text = i & 1 ? "odd holder" : greeting;
    one->slot = &big[i];
    one->next = list;
    list = one;
  }
}

/* A number for everything that can be wrong, 0 when all is right. */
static int __attribute__((noinline)) check(void) {
  int wrong = 0, i = 9;
  for (struct holder *one = list; one; one = one->next, i--) {
    int (*expected)(int) = i & 1 ? twice : thrice;
    if (one->run != expected || one->run(5) != expected(5))
      wrong |= 1;
    if (one->command != find(i & 1 ? "twice" : "thrice") || one->command->run != expected)
      wrong |= 2;
    if (strcmp(one->text, i & 1 ? "odd holder" : "hello from one"))
      wrong |= 4;
    if (one->slot != &big[i])
      wrong |= 8;
  }
  if (local_count != 7 || strcmp(local_text, "thread text"))
    wrong |= 16;
  return wrong;
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

static void __attribute__((noinline)) answer(const char *line) {
  if (!strcmp(line, "check"))
    printf("wrong %d\n", check());
  else if (!strcmp(line, "version"))
    printf("version %d limit %d counter %d\n", VERSION, limit, ++counter);
  else if (!strcmp(line, "greeting"))
    printf("%s\n", greeting);
  else if (!strcmp(line, "signal")) {
    raise(SIGUSR1);
    printf("signalled %d\n", signalled);
  } else if (!strcmp(line, "jump"))
    longjmp(here, 1);
  else
    printf("what is %s?\n", line);
  fflush(stdout);
}

static pthread_t thread;

static void __attribute__((noinline)) join(void) {
  void *result;
  pthread_mutex_lock(&lock);
  ready = 1;
  pthread_cond_signal(&wake);
  pthread_mutex_unlock(&lock);
  pthread_join(thread, &result);
  printf("joined %ld\n", (long)result);
  fflush(stdout);
}

int main(void) {
  char line[100];
  prepare();
  signal(SIGUSR1, on_signal);
  atexit(say_goodbye);
  pthread_create(&thread, NULL, waiter, NULL);
  if (setjmp(here)) {
    printf("jumped\n");
    fflush(stdout);
  }
  while (read_line(line, sizeof line) >= 0) {
    if (!strcmp(line, "join"))
      join();
    else if (!strcmp(line, "quit"))
      break;
    else
      answer(line);
  }
  return 0;
}

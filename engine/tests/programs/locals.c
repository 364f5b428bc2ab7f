/* Thread-local variables that grow from version to version (-DVERSION=1, 2, 3), with pointers to them from elsewhere. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __thread int first = 11;
#if VERSION >= 2
static __thread long wide[20] = {1, 2, 3};
static __thread char name[100] = "by default";
#endif
#if VERSION >= 3
__thread char huge[5000];
#endif
static __thread long last;

struct one {
  pthread_t thread;
  int number;
  int *first;
  long *last;
  int *error;
};
static struct one *all[4];
static pthread_barrier_t barrier;

static int __attribute__((noinline)) extra(void) {
#if VERSION >= 2
  return wide[0] == 1 && wide[2] == 3 && !strcmp(name, "by default") && ++wide[1] == 3 && --wide[1] == 2;
#else
  return 1;
#endif
}

static int __attribute__((noinline)) check(struct one *one) {
  int wrong = 0;
  if (first != 11 + one->number || last != 100 * one->number)
    wrong |= 1;
  if (one->first != &first || one->last != &last)
    wrong |= 2;
  if (one->error != &errno)
    wrong |= 4;
  if (close(-1) != -1 || *one->error != EBADF)
    wrong |= 8;
  if (!extra())
    wrong |= 16;
  free(malloc(100));
  return wrong;
}

static void __attribute__((noinline)) fill(struct one *one) {
  first += one->number;
  last = 100 * one->number;
  one->first = &first;
  one->last = &last;
  one->error = &errno;
}

static void __attribute__((noinline)) wait_once(void) { pthread_barrier_wait(&barrier); }

static void *worker(void *argument) {
  struct one *one = argument;
  fill(one);
  wait_once();
  wait_once();
  return (void *)(long)check(one);
}

static void *fresh(void *unused) {
  (void)unused;
  return (void *)(long)(first == 11 && last == 0 && extra() ? 0 : 1);
}

static int __attribute__((noinline)) read_line(void) {
  char byte = 0;
  while (byte != '\n')
    if (read(0, &byte, 1) != 1)
      return -1;
  return 0;
}

static void __attribute__((noinline)) report(int number) {
  printf("%d wrong %d\n", VERSION, number);
  fflush(stdout);
}

static int __attribute__((noinline)) start_and_join(void) {
  pthread_t thread;
  void *result;
  int wrong = 0;
  for (int i = 0; i < 3; i++) {
    pthread_create(&thread, NULL, fresh, NULL);
    pthread_join(thread, &result);
    wrong |= (int)(long)result;
  }
  return wrong;
}

int main(void) {
  struct one mine = {.number = 9};
  int wrong = 0;
  void *result;
  pthread_barrier_init(&barrier, NULL, 5);
  fill(&mine);
  start_and_join();
  for (int i = 0; i < 4; i++) {
    all[i] = calloc(1, sizeof *all[i]);
    all[i]->number = i + 1;
    pthread_create(&all[i]->thread, NULL, worker, all[i]);
  }
  wait_once();
  while (read_line() >= 0) {
    report(check(&mine) | 32 * start_and_join());
    if (getenv("NEVER"))
      break;
    if (read_line() < 0)
      break;
    wait_once();
    for (int i = 0; i < 4; i++) {
      pthread_join(all[i]->thread, &result);
      wrong |= (int)(long)result;
    }
    report(wrong | 32 * start_and_join());
  }
  return 0;
}

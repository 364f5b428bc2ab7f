/* Threads that compute, wait and signal, and notice any register, mask or memory that is not theirs. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static atomic_ulong wrong, rounds;
static int quiet_pipe[2], quiet_epoll;

/* Integer and floating-point state held in registers across many iterations, compared with the first run. */
static unsigned long integers(unsigned long n) {
  unsigned long a = 1, b = 2, c = 3, d = 5, e = 7, f = 11;
  for (unsigned long i = 0; i < n; i++) {
    a = a * 6364136223846793005UL + b;
    b ^= a >> 7;
    c += b * d;
    d = (d << 3) | (d >> 61);
    e -= c ^ f;
    f += e;
  }
  return a ^ b ^ c ^ d ^ e ^ f;
}

static double doubles(unsigned long n) {
  double a = 0.5, b = 1.25, c = 3.0;
  for (unsigned long i = 1; i <= n; i++) {
    a = a * 1.0000001 + b / (double)i;
    b = b * 0.9999999 + c;
    c = c - a * 1e-9;
  }
  return a + b + c;
}

static void *compute(void *unused) {
  (void)unused;
  const unsigned long n = 2000;
  unsigned long first = integers(n);
  double second = doubles(n);
  for (;;) {
    if (integers(n) != first || memcmp(&(double){doubles(n)}, &second, sizeof second))
      wrong++;
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    if (!sigismember(&now, SIGUSR2) || sigismember(&now, SIGUSR1))
      wrong++;
    rounds++;
  }
  return NULL;
}

static void *wait_quietly(void *unused) {
  (void)unused;
  char byte;
  if (read(quiet_pipe[0], &byte, 1) != 1)
    wrong++;
  return NULL;
}

static void *poll_quietly(void *unused) {
  (void)unused;
  struct epoll_event event;
  /* The kernel itself ends epoll_wait with EINTR after any stop; an engine that was killed cannot hide that. */
  while (epoll_wait(quiet_epoll, &event, 1, -1) < 0 && errno == EINTR)
    ;
  wrong++;
  return NULL;
}

int main(void) {
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &block, NULL);
  if (pipe(quiet_pipe))
    return 1;
  quiet_epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (quiet_epoll < 0 || epoll_ctl(quiet_epoll, EPOLL_CTL_ADD, quiet_pipe[0], &event))
    return 1;
  pthread_t thread;
  for (int i = 0; i < 2; i++)
    pthread_create(&thread, NULL, compute, NULL);
  pthread_create(&thread, NULL, wait_quietly, NULL);
  pthread_create(&thread, NULL, poll_quietly, NULL);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    unsigned long before = rounds;
    while (rounds < before + 4)
      ;
    printf("%s %lu\n", wrong ? "wrong" : "right", (unsigned long)wrong);
    fflush(stdout);
  }
  return wrong != 0;
}

/* Eight threads, each in a function of its own that changes and that is blocked in a system call: made by the C library, or with -DRAW by
 * the function itself. "go" lets each of them come round once. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8 };
struct answer {
  long rounds;
  long wrong;
  long version;
};

static int pipes[THREADS][2];
static int answers[THREADS][2];
static int listening, events;
static pthread_t threads[THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int count;
static volatile int asked;

static void __attribute__((noinline)) answer(long number, long rounds, long wrong, long version) {
  struct answer answer = {rounds, wrong, version};
  if (write(answers[number][1], &answer, sizeof answer) != sizeof answer)
    abort();
}

#ifdef RAW
static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d, long e) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
#define CALL(libc, number, a, b, c, d, e) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#else
#define CALL(libc, number, a, b, c, d, e) (libc)
#endif

static void *in_read(void *argument) {
  long rounds = 0, wrong = 0;
  char byte;
  for (;;) {
    wrong += CALL(read(pipes[0][0], &byte, 1), SYS_read, pipes[0][0], &byte, 1, 0, 0) != 1;
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *in_recvmsg(void *argument) {
  long rounds = 0, wrong = 0;
  char byte;
  for (;;) {
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    wrong += CALL(recvmsg(pipes[1][0], &message, 0), SYS_recvmsg, pipes[1][0], &message, 0, 0, 0) != 1;
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void __attribute__((noinline)) drain(int from) {
  char byte;
  if (read(from, &byte, 1) != 1)
    abort();
}

static void *in_poll(void *argument) {
  long rounds = 0, wrong = 0;
  for (;;) {
    struct pollfd one = {pipes[2][0], POLLIN, 0};
    wrong += CALL(poll(&one, 1, -1), SYS_ppoll, &one, 1, 0, 0, 0) != 1;
    drain(pipes[2][0]);
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *in_epoll_wait(void *argument) {
  long rounds = 0, wrong = 0;
  for (;;) {
    struct epoll_event one;
    wrong += CALL(epoll_wait(events, &one, 1, -1), SYS_epoll_wait, events, &one, 1, -1, 0) != 1;
    drain(pipes[3][0]);
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *in_futex(void *argument) {
  long rounds = 0, wrong = 0;
  for (;;) {
#ifdef RAW
    while (__atomic_load_n(&count, __ATOMIC_SEQ_CST) == rounds)
      call(SYS_futex, (long)&count, FUTEX_WAIT, rounds, 0, 0);
#else
    pthread_mutex_lock(&lock);
    while (count == rounds)
      pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
#endif
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *in_nanosleep(void *argument) {
  long rounds = 0, wrong = 0;
  for (;;) {
    struct timespec time = {0, 10000000};
    wrong += CALL(nanosleep(&time, NULL), SYS_nanosleep, &time, 0, 0, 0, 0) != 0;
    if (!asked)
      continue;
    asked = 0;
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void __attribute__((noinline)) done(int descriptor) { close(descriptor); }

static void *in_accept(void *argument) {
  long rounds = 0, wrong = 0;
  for (;;) {
    int got = CALL(accept(listening, NULL, NULL), SYS_accept, listening, 0, 0, 0, 0);
    wrong += got < 0;
    done(got);
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *in_sigtimedwait(void *argument) {
  long rounds = 0, wrong = 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  for (;;) {
    wrong += CALL(sigtimedwait(&set, NULL, NULL), SYS_rt_sigtimedwait, &set, 0, 0, 8, 0) != SIGUSR2;
    answer((long)argument, ++rounds, wrong, VERSION);
  }
  return NULL;
}

static void *(*const bodies[THREADS])(void *) = {in_read,  in_recvmsg,   in_poll,   in_epoll_wait,
                                                 in_futex, in_nanosleep, in_accept, in_sigtimedwait};

static void wake(long number, const struct sockaddr_un *address) {
  switch (number) {
  case 4:
    pthread_mutex_lock(&lock);
    __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    syscall(SYS_futex, &count, FUTEX_WAKE, 1, NULL, NULL, 0);
    break;
  case 5:
    asked = 1;
    break;
  case 6: {
    int from = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(from, (const struct sockaddr *)address, sizeof *address))
      abort();
    close(from);
    break;
  }
  case 7:
    pthread_kill(threads[7], SIGUSR2);
    break;
  default:
    if (write(pipes[number][1], "", 1) != 1)
      abort();
  }
}

static void round_of_all(const struct sockaddr_un *address) {
  long wrong = 0, rounds = 0, version = 0;
  for (long number = 0; number < THREADS; number++) {
    struct answer answer;
    wake(number, address);
    if (read(answers[number][0], &answer, sizeof answer) != sizeof answer)
      abort();
    wrong += answer.wrong;
    rounds += answer.rounds;
    version += answer.version;
  }
  dprintf(1, "rounds %ld wrong %ld versions %ld\n", rounds, wrong, version);
}

int main(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "dsu blocked %d", getpid());
  listening = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4))
    return 1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  for (long number = 0; number < THREADS; number++)
    if (pipe(answers[number]) || (number == 1 ? socketpair(AF_UNIX, SOCK_DGRAM, 0, pipes[1]) : pipe(pipes[number])))
      return 1;
  events = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(events, EPOLL_CTL_ADD, pipes[3][0], &event))
    return 1;
  for (long number = 0; number < THREADS; number++)
    pthread_create(&threads[number], NULL, bodies[number], (void *)number);
  char line[16];
  while (fgets(line, sizeof line, stdin))
    round_of_all(&address);
  return 0;
}

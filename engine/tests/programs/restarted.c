/* A program whose main and workers are entered anew: the state is in variables and on the heap, the waits are what a thread is found in.
 * Each version has another main, and says what it finds. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WORKERS 4

int dsu_generation;

struct job {
  long number;
  long done;
  int from, to;
};

static struct job *jobs[WORKERS];
static long asked;
static int is_set_up;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int command;

/* A line of input, byte by byte: the thread waits in `read`. */
static int __attribute__((noinline)) line(int from, char *text, int room) {
  int length = 0;
  for (;;) {
    char byte;
    ssize_t got = read(from, &byte, 1);
    if (got < 0 && errno == EINTR)
      continue;
    if (got != 1)
      return 0;
    if (byte == '\n')
      break;
    if (length < room - 1)
      text[length++] = byte;
  }
  text[length] = 0;
  return 1;
}

static void on_signal(int number) {
  char text[64];
  dprintf(1, "in the handler of %d\n", number);
  line(0, text, sizeof text);
}

#if VERSION == 1

static void *worker(void *given) {
  struct job *job = given;
  char text[64];
  while (line(job->from, text, sizeof text)) {
    job->done++;
    dprintf(job->to, "version 1 worker %ld done %ld\n", job->number, job->done);
  }
  return given;
}

#else

/* Another algorithm with another frame: it says at its beginning that it began. */
static void *worker(void *given) {
  struct job *job = given;
  volatile char spare[300];
  spare[5] = 1;
  dprintf(job->to, "version 2 worker %ld begins with %ld\n", job->number, job->done);
  for (;;) {
    char text[64];
    if (!line(job->from, text, sizeof text))
      return NULL;
    job->done += 100;
    dprintf(job->to, "version 2 worker %ld done %ld\n", job->number, job->done);
  }
}

#endif

static void set_up(void) {
  if (is_set_up)
    return;
  is_set_up = 1;
  signal(SIGUSR1, on_signal);
  for (long number = 0; number < WORKERS; number++) {
    int ends[2];
    pthread_t thread;
    jobs[number] = calloc(1, sizeof *jobs[number]);
    jobs[number]->number = number;
    jobs[number]->to = 1;
    if (pipe(ends))
      exit(2);
    jobs[number]->from = ends[0];
    dup2(ends[1], 100 + number);
    close(ends[1]);
    if (pthread_create(&thread, NULL, worker, jobs[number]))
      exit(3);
  }
}

static void wait_for_change(void) {
  pthread_mutex_lock(&lock);
  while (!command)
    pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static int __attribute__((noinline)) order(const void *a, const void *b) {
  char text[64];
  dprintf(1, "in the middle of a library\n");
  line(0, text, sizeof text);
  return *(const int *)a - *(const int *)b;
}

static void obey(const char *text) {
  if (!strcmp(text, "signal")) {
    raise(SIGUSR1);
  } else if (!strcmp(text, "condition")) {
    dprintf(1, "waits for a condition\n");
    wait_for_change();
  } else if (!strcmp(text, "sort")) {
    int numbers[2] = {2, 1};
    qsort(numbers, 2, sizeof numbers[0], order);
  } else if (!strcmp(text, "stdio")) {
    char more[64];
    dprintf(1, "waits in the library\n");
    if (fgets(more, sizeof more, stdin))
      dprintf(1, "got %s", more);
  } else if (text[0] == 'w') {
    int number = atoi(text + 1);
    if (write(100 + number, "x\n", 2) != 2)
      exit(4);
  }
}

#if VERSION == 1

int main(int count, char **arguments) {
  char text[64];
  set_up();
  dprintf(1, "version 1 begins %d %s\n", count, arguments[count - 1]);
  while (line(0, text, sizeof text)) {
    asked++;
    if (!strcmp(text, "where"))
      dprintf(1, "version 1 generation %d asked %ld\n", dsu_generation, asked);
    else
      obey(text);
  }
  return 0;
}

#else

static int turn(struct epoll_event *event, char *text, int room) {
  int watch = epoll_create1(0);
  struct epoll_event wanted = {.events = EPOLLIN};
  int is_there = watch >= 0 && !epoll_ctl(watch, EPOLL_CTL_ADD, 0, &wanted) && epoll_wait(watch, event, 1, -1) == 1;
  close(watch);
  return is_there && line(0, text, room);
}

int main(int count, char **arguments, char **environment) {
  struct epoll_event event;
  char text[64];
  const char *first = *environment ? "with" : "without";
  while (count > 2)
    count--;
  set_up();
  dprintf(1, "version %d begins %d %s %s an environment, generation %d asked %ld\n", VERSION, count, arguments[1], first, dsu_generation,
          asked);
  while (turn(&event, text, sizeof text)) {
    asked += 10;
    if (!strcmp(text, "where"))
      dprintf(1, "version %d generation %d asked %ld\n", VERSION, dsu_generation, asked);
    else
      obey(text);
  }
  return 7;
}

#endif

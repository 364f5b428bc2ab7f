/* What the versions of pulsed share: sessions, timers, and how they are talked about. Each version has a main of its own that begins anew
 * at every update and finds the sessions and timers in place. */
#ifndef PULSED_H
#define PULSED_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How often the process has been updated; dsu keeps it. */
int dsu_generation;

struct session {
  int descriptor;
  int used;        /* bytes of `input` */
  long commands;
  long sum;
  long ticks;
  char name[32];
  char input[128];
  struct session *next;
#if VERSION >= 5
  int state;       /* of the machine that reads commands */
  int negative;
  long first;      /* number of a command */
  long number;     /* the one that is being read */
#endif
};

/* Says TICK every `period` ms, or FIRED once. */
struct timer {
  long due;        /* ms of CLOCK_MONOTONIC */
  long period;
  long id;
  struct session *owner;
  struct timer *next;
};

static struct session *sessions;
static struct timer *timers;
static int listener = -1;
static volatile sig_atomic_t is_over;

static inline long now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void on_end(int number) {
  (void)number;
  is_over = 1;
}

/* Opens the listening socket, but only once in the process's life. */
static inline void set_up(const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  struct sigaction action = {.sa_handler = on_end};
  socklen_t length = sizeof address;
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (listener >= 0)
    return;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128) ||
      getsockname(listener, (struct sockaddr *)&address, &length)) {
    perror("pulsed");
    exit(1);
  }
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
}

/* Says that main began, and what it found. */
static inline void say_hello(void) {
  int count = 0;
  for (struct session *session = sessions; session; session = session->next)
    count++;
  printf("pulsed %d: main begins, generation %d, %d sessions\n", VERSION, dsu_generation, count);
  fflush(stdout);
}

static inline void __attribute__((format(printf, 2, 3))) reply(struct session *session, const char *form, ...) {
  char text[256];
  va_list list;
  va_start(list, form);
  int length = vsnprintf(text, sizeof text - 2, form, list);
  va_end(list);
  memcpy(text + length, "\r\n", 2);
  for (int sent = 0; sent < length + 2;) {
    ssize_t more = send(session->descriptor, text + sent, length + 2 - sent, MSG_NOSIGNAL);
    if (more < 0 && errno != EINTR)
      return;
    sent += more > 0 ? more : 0;
  }
}

static inline struct session *new_session(int descriptor) {
  struct session *session = calloc(1, sizeof *session);
  int one = 1;
  if (!session)
    abort();
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  session->descriptor = descriptor;
  strcpy(session->name, "nobody");
  session->next = sessions;
  sessions = session;
  return session;
}

static inline struct timer *new_timer(struct session *owner, long after, long period, long id) {
  struct timer *timer = calloc(1, sizeof *timer);
  if (!timer)
    abort();
  timer->owner = owner;
  timer->period = period;
  timer->id = id;
  timer->due = now() + after;
  return timer;
}

/* Takes the timers of a session out of a list. */
static inline void drop_timers(struct timer **list, struct session *owner) {
  while (*list) {
    struct timer *timer = *list;
    if (timer->owner == owner) {
      *list = timer->next;
      free(timer);
    } else {
      list = &timer->next;
    }
  }
}

static inline void end_session(struct session *session) {
  struct session **at = &sessions;
  while (*at != session)
    at = &(*at)->next;
  *at = session->next;
  close(session->descriptor);
  free(session);
}

#endif

/* pulsed 2: epoll in the place of poll; timers are kept by when they are due. */
#include "pulsed.h"

#include <sys/epoll.h>

static int watch = -1;

/* Puts a timer where it belongs: the list is in order of `due`. */
static void insert(struct timer *timer) {
  struct timer **at = &timers;
  while (*at && (*at)->due <= timer->due)
    at = &(*at)->next;
  timer->next = *at;
  *at = timer;
}

static void watch_for(int descriptor) {
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = descriptor};
  if (epoll_ctl(watch, EPOLL_CTL_ADD, descriptor, &wanted) && errno != EEXIST)
    abort();
}

int main(int count, char **arguments) {
  struct epoll_event events[32];
  set_up(count > 1 ? arguments[1] : "0");
  say_hello();
  if (watch < 0) {
    watch = epoll_create1(EPOLL_CLOEXEC);
    watch_for(listener);
    for (struct session *session = sessions; session; session = session->next)
      watch_for(session->descriptor);
  }
  /* What version 1 left is in no order. */
  struct timer *unsorted = timers;
  timers = NULL;
  while (unsorted) {
    struct timer *timer = unsorted;
    unsorted = timer->next;
    insert(timer);
  }
  while (!is_over) {
    long left = timers ? timers->due - now() : -1;
    int found = epoll_wait(watch, events, 32, timers ? (left > 0 ? left : 0) : -1);
    while (timers && timers->due <= now()) {
      struct timer *timer = timers;
      timers = timer->next;
      if (timer->period) {
        reply(timer->owner, "TICK %ld", ++timer->owner->ticks);
        timer->due += timer->period;
        insert(timer);
      } else {
        reply(timer->owner, "FIRED %ld", timer->id);
        free(timer);
      }
    }
    for (int number = 0; number < found; number++) {
      int descriptor = events[number].data.fd;
      struct session *session = sessions;
      if (descriptor == listener) {
        int accepted = accept(listener, NULL, NULL);
        if (accepted >= 0)
          watch_for(new_session(accepted)->descriptor);
        continue;
      }
      while (session && session->descriptor != descriptor)
        session = session->next;
      if (!session)
        continue;
      ssize_t got = recv(descriptor, session->input + session->used, sizeof session->input - session->used, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR))
        continue;
      if (got <= 0) {
        drop_timers(&timers, session);
        end_session(session);
        continue;
      }
      session->used += got;
      char *end;
      while ((end = memchr(session->input, '\n', session->used))) {
        char word[16] = "", rest[64] = "";
        *end = 0;
        sscanf(session->input, "%15s %63[^\r]", word, rest);
        session->used -= end + 1 - session->input;
        memmove(session->input, end + 1, session->used);
        session->commands++;
        if (!strcmp(word, "ADD")) {
          reply(session, "SUM %ld", session->sum += atol(rest));
        } else if (!strcmp(word, "COUNT")) {
          reply(session, "COMMANDS %ld", session->commands);
        } else if (!strcmp(word, "NAME")) {
          snprintf(session->name, sizeof session->name, "%.31s", rest);
          reply(session, "HELLO %s", session->name);
        } else if (!strcmp(word, "WHO")) {
          reply(session, "NAME %s", session->name);
        } else if (!strcmp(word, "VERSION")) {
          reply(session, "VERSION %d %d", VERSION, dsu_generation);
        } else if (!strcmp(word, "EVERY") || !strcmp(word, "AFTER")) {
          long after = 0, id = 0;
          sscanf(rest, "%ld %ld", &after, &id);
          insert(new_timer(session, after, word[0] == 'E' ? after : 0, id));
          reply(session, "OK");
        } else {
          reply(session, "ERROR");
        }
      }
    }
  }
  printf("pulsed %d: ends\n", VERSION);
  return 0;
}

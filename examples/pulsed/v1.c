/* pulsed 1: one loop around poll, everything in main. */
#include "pulsed.h"

#include <poll.h>

#define MOST 256

int main(int count, char **arguments) {
  struct pollfd waits[MOST];
  struct session *order[MOST];
  set_up(count > 1 ? arguments[1] : "0");
  say_hello();
  while (!is_over) {
    int length = 0, wait = -1;
    waits[length++] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (struct session *session = sessions; session && length < MOST; session = session->next) {
      order[length] = session;
      waits[length++] = (struct pollfd){.fd = session->descriptor, .events = POLLIN};
    }
    for (struct timer *timer = timers; timer; timer = timer->next) {
      long left = timer->due - now();
      if (wait < 0 || left < wait)
        wait = left > 0 ? left : 0;
    }
    if (poll(waits, length, wait) < 0 && errno != EINTR)
      break;
    for (struct timer **at = &timers; *at;) {
      struct timer *timer = *at;
      if (timer->due > now()) {
        at = &timer->next;
        continue;
      }
      if (timer->period) {
        reply(timer->owner, "TICK %ld", ++timer->owner->ticks);
        timer->due += timer->period;
        at = &timer->next;
      } else {
        reply(timer->owner, "FIRED %ld", timer->id);
        *at = timer->next;
        free(timer);
      }
    }
    for (int number = 1; number < length; number++) {
      struct session *session = order[number];
      if (!waits[number].revents)
        continue;
      ssize_t got = recv(session->descriptor, session->input + session->used, sizeof session->input - session->used, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR))
        continue;
      if (got <= 0) {
        drop_timers(&timers, session);
        end_session(session);
        continue;
      }
      session->used += got;
      for (;;) {
        char *end = memchr(session->input, '\n', session->used), line[sizeof session->input];
        long value = 0, id = 0;
        if (!end)
          break;
        int taken = end + 1 - session->input;
        memcpy(line, session->input, taken);
        line[taken - 1] = 0;
        line[strcspn(line, "\r")] = 0;
        memmove(session->input, end + 1, session->used - taken);
        session->used -= taken;
        session->commands++;
        if (sscanf(line, "ADD %ld", &value) == 1) {
          reply(session, "SUM %ld", session->sum += value);
        } else if (!strcmp(line, "COUNT")) {
          reply(session, "COMMANDS %ld", session->commands);
        } else if (sscanf(line, "NAME %31s", session->name) == 1) {
          reply(session, "HELLO %s", session->name);
        } else if (!strcmp(line, "WHO")) {
          reply(session, "NAME %s", session->name);
        } else if (!strcmp(line, "VERSION")) {
          reply(session, "VERSION %d %d", VERSION, dsu_generation);
        } else if (sscanf(line, "EVERY %ld", &value) == 1) {
          struct timer *timer = new_timer(session, value, value, 0);
          timer->next = timers;
          timers = timer;
          reply(session, "OK");
        } else if (sscanf(line, "AFTER %ld %ld", &value, &id) == 2) {
          struct timer *timer = new_timer(session, value, 0, id);
          timer->next = timers;
          timers = timer;
          reply(session, "OK");
        } else {
          reply(session, "ERROR");
        }
      }
    }
    if (waits[0].revents) {
      int descriptor = accept(listener, NULL, NULL);
      if (descriptor >= 0)
        new_session(descriptor);
    }
  }
  printf("pulsed %d: ends\n", VERSION);
  return 0;
}

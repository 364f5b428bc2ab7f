/* pulsed 3: timers in a wheel that the kernel's clock drives; epoll gives back the session itself. */
#include "pulsed.h"
#include "wheel.h"

int main(int count, char **arguments) {
  set_up(count > 1 ? arguments[1] : "0");
  say_hello();
  start_wheel();
  watch_all();
  for (;;) {
    struct epoll_event event;
    int found = epoll_wait(watch, &event, 1, -1);
    if (is_over)
      break;
    if (found != 1)
      continue;
    if (event.data.ptr == &beat) {
      turn_wheel();
      continue;
    }
    if (event.data.ptr == &listener) {
      int accepted = accept(listener, NULL, NULL);
      if (accepted >= 0)
        watch_for(accepted, new_session(accepted));
      continue;
    }
    struct session *session = event.data.ptr;
    char *start = session->input, *end;
    ssize_t got = recv(session->descriptor, start + session->used, sizeof session->input - session->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (got <= 0) {
      end_timers(session);
      end_session(session);
      continue;
    }
    session->used += got;
    while ((end = memchr(start, '\n', session->input + session->used - start))) {
      char *next = end + 1, *word, *rest = NULL;
      *end = 0;
      start[strcspn(start, "\r")] = 0;
      word = strtok_r(start, " ", &rest);
      session->commands++;
      switch (word ? word[0] : 0) {
      case 'A':
        if (word[1] == 'D') {
          reply(session, "SUM %ld", session->sum += atol(rest));
          break;
        }
        /* fall through */
      case 'E': {
        long after = strtol(rest, &rest, 10), id = strtol(rest, NULL, 10);
        insert(new_timer(session, after, word[0] == 'E' ? after : 0, id));
        reply(session, "OK");
        break;
      }
      case 'C':
        reply(session, "COMMANDS %ld", session->commands);
        break;
      case 'N':
        snprintf(session->name, sizeof session->name, "%.31s", rest);
        reply(session, "HELLO %s", session->name);
        break;
      case 'W':
        reply(session, "NAME %s", session->name);
        break;
      case 'V':
        reply(session, "VERSION %d %d", VERSION, dsu_generation);
        break;
      default:
        reply(session, "ERROR");
      }
      start = next;
    }
    session->used -= start - session->input;
    memmove(session->input, start, session->used);
  }
  printf("pulsed %d: ends\n", VERSION);
  return 0;
}

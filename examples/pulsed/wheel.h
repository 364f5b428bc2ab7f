/* The timer wheel of versions 3 to 5: a slot for each 4 ms of a turn, driven by a descriptor of the kernel's clock. */
#ifndef WHEEL_H
#define WHEEL_H

#include <sys/epoll.h>
#include <sys/timerfd.h>

#define SLOTS 128
#define STEP 4

static int watch = -1;
static int beat = -1;
static long turned; /* up to which step the wheel has gone */
static struct timer *slots[SLOTS];

/* The first step at which a timer is due: never before its time. */
static long step_of(const struct timer *timer) { return (timer->due + STEP - 1) / STEP; }

static void insert(struct timer *timer) {
  long step = step_of(timer);
  struct timer **slot = &slots[(step > turned ? step : turned + 1) % SLOTS];
  timer->next = *slot;
  *slot = timer;
}

/* Starts the clock, and takes over what versions without a wheel have left. */
static void start_wheel(void) {
  struct itimerspec every = {.it_interval.tv_nsec = STEP * 1000000, .it_value.tv_nsec = 1};
  if (beat < 0) {
    turned = now() / STEP;
    beat = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (beat < 0 || timerfd_settime(beat, 0, &every, NULL))
      abort();
  }
  while (timers) {
    struct timer *timer = timers;
    timers = timer->next;
    insert(timer);
  }
}

/* Lets everything go off that is due. */
static void turn_wheel(void) {
  long steps, target = now() / STEP;
  if (read(beat, &steps, sizeof steps) < 0 && errno != EAGAIN)
    abort();
  while (turned < target) {
    struct timer *due = slots[++turned % SLOTS];
    slots[turned % SLOTS] = NULL;
    while (due) {
      struct timer *timer = due;
      due = timer->next;
      if (step_of(timer) > turned) {
        insert(timer);
      } else if (timer->period) {
        reply(timer->owner, "TICK %ld", ++timer->owner->ticks);
        timer->due += timer->period;
        insert(timer);
      } else {
        reply(timer->owner, "FIRED %ld", timer->id);
        free(timer);
      }
    }
  }
}

static void end_timers(struct session *session) {
  for (int slot = 0; slot < SLOTS; slot++)
    drop_timers(&slots[slot], session);
}

static void watch_for(int descriptor, void *data) {
  struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = data};
  if (epoll_ctl(watch, EPOLL_CTL_ADD, descriptor, &wanted))
    abort();
}

/* Begins to watch everything anew: an older version kept something else with each descriptor. */
static void watch_all(void) {
  if (watch >= 0)
    close(watch);
  watch = epoll_create1(EPOLL_CLOEXEC);
  watch_for(listener, &listener);
  watch_for(beat, &beat);
  for (struct session *session = sessions; session; session = session->next)
    watch_for(session->descriptor, session);
}

#endif

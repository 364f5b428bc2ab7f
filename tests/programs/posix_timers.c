/* POSIX timers keep their IDs, periods, signals and the pointer in their signal's value. */
#include "check.h"
#include <signal.h>
#include <time.h>

struct context {
    int number;
};
static struct context contexts[3] = {{1}, {2}, {3}};
static timer_t timers[4];

SEPARATE static void create(timer_t *timer, clockid_t clock, int number, struct context *context, pid_t thread) {
    struct sigevent event = {.sigev_notify = thread ? SIGEV_THREAD_ID : SIGEV_SIGNAL, .sigev_signo = number};
    event.sigev_value.sival_ptr = context;
    event._sigev_un._tid = thread;
    must("timer_create", timer_create(clock, &event, timer));
}

SEPARATE static void arm(timer_t timer, long seconds, long nanoseconds, long period) {
    struct itimerspec value = {.it_value = {seconds, nanoseconds}, .it_interval = {period, 0}};
    must("timer_settime", timer_settime(timer, 0, &value, NULL));
}

SEPARATE static void check_fires(timer_t timer, int number, struct context *context) {
    sigset_t one;
    siginfo_t info = {0};
    sigemptyset(&one);
    sigaddset(&one, number);
    arm(timer, 0, 1000000, 0);
    expect("signal", number, sigwaitinfo(&one, &info));
    expect("its code", SI_TIMER, info.si_code);
    expect_pointer("its value", context, info.si_value.sival_ptr);
    if (context)
        expect("what the value points to", context - contexts + 1, context->number);
}

int main(void) {
    struct itimerspec left;
    sigset_t all;
    sigfillset(&all);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &all, NULL));
    create(&timers[0], CLOCK_MONOTONIC, SIGRTMIN, &contexts[0], 0);
    create(&timers[1], CLOCK_MONOTONIC, SIGRTMIN, &contexts[0], 0);
    must("timer_delete", timer_delete(timers[0])); /* A gap in the numbers. */
    create(&timers[2], CLOCK_REALTIME, SIGRTMIN + 1, &contexts[1], gettid());
    create(&timers[3], CLOCK_BOOTTIME, SIGRTMIN + 2, NULL, 0);
    arm(timers[1], 5000, 0, 9);
    arm(timers[2], 6000, 0, 0);
    update_here();
    must("timer_gettime", timer_gettime(timers[1], &left));
    expect("period", 9, left.it_interval.tv_sec);
    expect_true("time left", left.it_value.tv_sec <= 5000 && left.it_value.tv_sec > 4900);
    must("timer_gettime", timer_gettime(timers[2], &left));
    expect_true("time left of the second", left.it_value.tv_sec <= 6000 && left.it_value.tv_sec > 5900);
    expect("second has no period", 0, left.it_interval.tv_sec);
    must("timer_gettime", timer_gettime(timers[3], &left));
    expect("disarmed one", 0, left.it_value.tv_sec + left.it_value.tv_nsec);
    check_fires(timers[1], SIGRTMIN, &contexts[0]);
    check_fires(timers[2], SIGRTMIN + 1, &contexts[1]);
    check_fires(timers[3], SIGRTMIN + 2, NULL);
    for (int i = 1; i < 4; i++)
        must("timer_delete", timer_delete(timers[i]));
    return finish();
}

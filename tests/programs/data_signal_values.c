/* Values that the kernel keeps with a timer and with a pending signal are pointers to objects that outgrow their blocks. */
#include "data.h"
#include <signal.h>
#include <time.h>

struct alarm {
    int number;
#if VERSION >= 2
    char reason[56];
#endif
    struct alarm *next;
};
static struct alarm *alarms;
static timer_t timer;

SEPARATE static struct alarm *new_alarm(int number) {
    struct alarm *alarm = calloc(1, sizeof *alarm);
    alarm->number = number;
    alarm->next = alarms;
    return alarms = alarm;
}

SEPARATE static void make(void) {
    sigset_t set;
    made_by = VERSION;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_ptr = new_alarm(1);
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    union sigval value = {.sival_ptr = new_alarm(2)};
    must("sigqueue", sigqueue(getpid(), SIGRTMIN + 1, value));
}

SEPARATE static void expect_signal(int number, struct alarm *alarm) {
    sigset_t set;
    siginfo_t info = {0};
    sigemptyset(&set);
    sigaddset(&set, number);
    expect("signal", number, sigwaitinfo(&set, &info));
    expect_pointer("value of the signal", alarm, info.si_value.sival_ptr);
}

SEPARATE static void check(void) {
    struct itimerspec soon = {.it_value = {0, 1000000}};
    struct alarm *second = alarms, *first = second->next;
    expect("second", 2, second->number);
    expect("first", 1, first->number);
#if VERSION >= 2
    expect_text("reason", "", first->reason);
#endif
    expect_signal(SIGRTMIN + 1, second);
    must("timer_settime", timer_settime(timer, 0, &soon, NULL));
    expect_signal(SIGRTMIN, first);
    must("timer_delete", timer_delete(timer));
    free(first);
    free(second);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

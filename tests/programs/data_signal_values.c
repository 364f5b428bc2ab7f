/* Values that the kernel keeps with a timer and with a pending signal are pointers to members of objects, which move within their blocks.
 * With OUTGROWS the objects need larger blocks, and the update is refused. */
#include "data.h"
#include <signal.h>
#include <time.h>

struct alarm {
    struct alarm *next;
#if VERSION >= 2
    long repeats;
#ifdef OUTGROWS
    char reason[56];
#endif
#endif
    int number;
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
    event.sigev_value.sival_ptr = &new_alarm(1)->number;
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    union sigval value = {.sival_ptr = &new_alarm(2)->number};
    must("sigqueue", sigqueue(getpid(), SIGRTMIN + 1, value));
}

SEPARATE static void expect_signal(int number, const int *value) {
    sigset_t set;
    siginfo_t info = {0};
    sigemptyset(&set);
    sigaddset(&set, number);
    expect("signal", number, sigwaitinfo(&set, &info));
    expect_pointer("value of the signal", value, info.si_value.sival_ptr);
}

SEPARATE static void check(void) {
    struct itimerspec soon = {.it_value = {0, 1000000}};
    struct alarm *second = alarms, *first = second->next;
    expect("second", 2, second->number);
    expect("first", 1, first->number);
#if VERSION >= 2
    expect("repeats", 0, first->repeats++);
#endif
    expect_signal(SIGRTMIN + 1, &second->number);
    must("timer_settime", timer_settime(timer, 0, &soon, NULL));
    expect_signal(SIGRTMIN, &first->number);
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

/* Values that the kernel keeps with a timer and with a pending signal are pointers to members of objects, which move within their blocks.
 * With OUTGROWS the objects need larger blocks, which are made when timers and signals would be there already. */
#include "data.h"
#include <pthread.h>
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
static timer_t timer, expired;

SEPARATE static struct alarm *new_alarm(int number) {
    struct alarm *alarm = calloc(1, sizeof *alarm);
    alarm->number = number;
    alarm->next = alarms;
    return alarms = alarm;
}

/* A timer whose signal waits already. */
SEPARATE static void make_expired(void) {
    struct itimerspec now = {.it_value = {0, 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    sigset_t waiting;
    event.sigev_value.sival_ptr = &new_alarm(4)->number;
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &expired));
    must("timer_settime", timer_settime(expired, 0, &now, NULL));
    do {
        must("sigpending", sigpending(&waiting));
    } while (!sigismember(&waiting, SIGRTMIN + 3));
}

SEPARATE static void make(void) {
    sigset_t set;
    made_by = VERSION;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    sigaddset(&set, SIGRTMIN + 3);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_ptr = &new_alarm(1)->number;
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    union sigval value = {.sival_ptr = &new_alarm(2)->number};
    must("sigqueue", sigqueue(getpid(), SIGRTMIN + 1, value));
    value.sival_ptr = &new_alarm(3)->number;
    must_be_zero("pthread_sigqueue", pthread_sigqueue(pthread_self(), SIGRTMIN + 2, value));
    make_expired();
}

SEPARATE static void expect_signal(int number, const int *value) {
    sigset_t set;
    siginfo_t info = {0};
    sigemptyset(&set);
    sigaddset(&set, number);
    expect("signal", number, sigwaitinfo(&set, &info));
    expect_pointer("value of the signal", value, info.si_value.sival_ptr);
}

SEPARATE static struct alarm *expect_alarm(struct alarm *alarm, int number) {
    expect("number", number, alarm->number);
#if VERSION >= 2
    expect("repeats", 0, alarm->repeats++);
#ifdef OUTGROWS
    expect_text("reason", "", alarm->reason);
#endif
#endif
    return alarm->next;
}

SEPARATE static void check(void) {
    struct itimerspec soon = {.it_value = {0, 1000000}};
    struct alarm *fourth = alarms, *third = expect_alarm(fourth, 4), *second = expect_alarm(third, 3);
    struct alarm *first = expect_alarm(second, 2);
    expect_pointer("the list's end", NULL, expect_alarm(first, 1));
    expect_signal(SIGRTMIN + 1, &second->number);
    expect_signal(SIGRTMIN + 2, &third->number);
    expect_signal(SIGRTMIN + 3, &fourth->number);
    must("timer_settime", timer_settime(timer, 0, &soon, NULL));
    expect_signal(SIGRTMIN, &first->number);
    must("timer_settime", timer_settime(expired, 0, &soon, NULL));
    expect_signal(SIGRTMIN + 3, &fourth->number);
    must("timer_delete", timer_delete(timer));
    must("timer_delete", timer_delete(expired));
    free(first);
    free(second);
    free(third);
    free(fourth);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

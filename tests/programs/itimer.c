/* Interval timers keep their remaining time and period, and expire into the new handler. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>

static volatile int alarms, alarm_version;

SEPARATE static void on_alarm(int number) {
    (void)number;
    alarms++;
    alarm_version = version();
}

SEPARATE static void arm(int which, long seconds, long period) {
    struct itimerval value = {.it_value = {seconds, 0}, .it_interval = {period, 0}};
    must("setitimer", setitimer(which, &value, NULL));
}

SEPARATE static void check(const char *what, int which, long seconds, long period) {
    struct itimerval value;
    must("getitimer", getitimer(which, &value));
    expect(what, period, value.it_interval.tv_sec);
    expect_true("time left", value.it_value.tv_sec <= seconds && value.it_value.tv_sec > seconds - 100);
}

int main(void) {
    sigset_t mask, old;
    signal(SIGALRM, on_alarm);
    arm(ITIMER_REAL, 1000, 7);
    arm(ITIMER_VIRTUAL, 2000, 8);
    arm(ITIMER_PROF, 3000, 0);
    update_here();
    check("period of the real timer", ITIMER_REAL, 1000, 7);
    check("period of the virtual timer", ITIMER_VIRTUAL, 2000, 8);
    check("period of the profiling timer", ITIMER_PROF, 3000, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigprocmask(SIG_BLOCK, &mask, &old);
    struct itimerval soon = {.it_value = {0, 1000}, .it_interval = {0, 1000}};
    must("setitimer", setitimer(ITIMER_REAL, &soon, NULL));
    while (alarms < 3)
        sigsuspend(&old);
    expect("version of the handler", version(), alarm_version);
    return finish();
}

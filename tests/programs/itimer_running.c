/* A fast interval timer fires all through the update: its handler interrupts whatever runs, and no tick is a crash. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks, ticks_of_this_version;

SEPARATE static void on_alarm(int number) {
    static int seen_version;
    (void)number;
    if (seen_version != version()) {
        seen_version = version();
        ticks_of_this_version = 0;
    }
    ticks++;
    ticks_of_this_version++;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_value = {0, 500}, .it_interval = {0, 500}};
    must("sigaction", sigaction(SIGALRM, &action, NULL));
    must("setitimer", setitimer(ITIMER_REAL, &often, NULL));
    while (ticks < 3)
        pause();
    for (int round = 0; round < 3; round++) {
        update_here();
        int before = ticks;
        while (ticks < before + 3)
            pause();
        expect_true("ticks of this version", ticks_of_this_version >= 3);
    }
    return finish();
}

/* Clocks are read through the vdso, whose addresses the C library keeps mangled: still right, and never backwards. */
#include "check.h"
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

/* Not the processor time of the process: that of a process made anew starts at nothing. */
static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
                                   CLOCK_MONOTONIC_COARSE};
#define COUNT (sizeof clocks / sizeof clocks[0])

static long long nanoseconds(clockid_t clock) {
    struct timespec t;
    must("clock_gettime", clock_gettime(clock, &t));
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void) {
    long long before[COUNT];
    struct timeval now;
    unsigned cpu = 0;
    for (size_t i = 0; i < COUNT; i++)
        before[i] = nanoseconds(clocks[i]);
    update_here();
    for (size_t i = 0; i < COUNT; i++) {
        long long passed = nanoseconds(clocks[i]) - before[i];
        expect_true("not backwards", passed >= 0);
        expect_true("no leap", passed < 600 * 1000000000LL);
    }
    must("gettimeofday", gettimeofday(&now, NULL));
    expect_true("gettimeofday agrees with time", now.tv_sec - time(NULL) <= 1 && time(NULL) - now.tv_sec <= 1);
    must("getcpu", getcpu(&cpu, NULL));
    const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
    expect_true("the vdso is there", vdso && !memcmp(vdso, "\177ELF", 4));
    return finish();
}

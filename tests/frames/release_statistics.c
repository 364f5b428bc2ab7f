// A worker counts its failures in a global table, which was there before.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 4 6 8 11 3
#include "frames.h"

static long counters[4];

NOINLINE void work(long jobs) {
    for (long i = 0; i < jobs; i++) {
        point();
        long job = next();
        if (job % 2 == 0) {
            counters[0]++;
            continue;
        }
#if NEW
        counters[1] += job;
#endif
        say("job", job * i);
    }
}

int main(void) {
    long jobs = next();
    work(jobs);
    say("even", counters[0]);
    say("odd", counters[1]);
    return 0;
}

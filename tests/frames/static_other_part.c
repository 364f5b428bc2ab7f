// One element of a table is counted in, and in the new version another one: a compiler that keeps only what is used makes one variable of
// each, and the first is not the second.
// rule: 3.29
// kind: counterexample
// good: either
// point: 3
// input: 4 6 8 11 3
#include "frames.h"

static long counters[4];

NOINLINE void work(long jobs) {
    for (long i = 0; i < jobs; i++) {
        point();
        long job = next();
        if (job % 2 == 0) {
#if !NEW
            counters[0]++;
            say("even", counters[0]);
#endif
            continue;
        }
#if NEW
        counters[1] += job;
        say("odd", counters[1]);
#endif
        say("job", job * i);
    }
}

int main(void) {
    long jobs = next();
    work(jobs);
    return 0;
}

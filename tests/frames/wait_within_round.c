// A worker waits within a round only if there is nothing to do, and gains a count at the end of each round: rounds that did not wait have
// passed it, and were the old code's.
// rule: 3.28
// kind: release
// good: right
// point: 2
// input: 6 2 0 3 1 4
#include "frames.h"

static long jobs, rounds;

NOINLINE void work(long n) {
    for (long i = 0; i < n; i++) {
        while (!jobs) {
            point();
            jobs = next();
        }
        jobs--;
        say("job", i);
#if NEW
        rounds++;
#endif
    }
}

int main(void) {
    work(next());
    say("counted", rounds > 0);
    say("left", jobs);
    return 0;
}

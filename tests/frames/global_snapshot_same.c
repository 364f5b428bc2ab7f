// As global_snapshot, but nothing writes the global between: memory would explain the value, if a proof sees that.
// rule: 3.4
// good: either
// point: 2
// input: 5 3
#include "frames.h"

static long limit;

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long bound = limit;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
#if NEW
        total += bound;
#else
        total += limit;
#endif
    }
    return total;
}

int main(void) {
    limit = next();
    say("result", work(next()));
    return 0;
}

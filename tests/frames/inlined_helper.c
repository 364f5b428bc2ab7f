// A helper that is inlined changes; the function that it is inlined into has the same source.
// rule: 3.1
// good: right
// point: 2
// input: 3 5
#include "frames.h"

static inline long weigh(long n) {
#if NEW
    return n > 4 ? n * 3 : n + 1;
#else
    return n * 2;
#endif
}

static NOINLINE long work(long rounds, long n) {
    long kept = n * n;
    for (long i = 0; i < rounds; i++) {
        point();
        say("weight", weigh(kept + i));
    }
    return kept;
}

int main(void) {
    long rounds = next(), n = next();
    say("result", work(rounds, n));
    return 0;
}

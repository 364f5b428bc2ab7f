// A counter of the new code begins elsewhere, and rounds may pass the call by: how often it was called does not tell how far the counter is.
// rule: 3.20
// kind: counterexample
// good: either
// point: 2
// input: 6 1 0 0 1 1 1

#include "frames.h"

static NOINLINE long work(long rounds, long base) {
    long sum = 0;
#if NEW
    for (long at = base; at < base + rounds; at++) {
        if (next() == 0)
            continue;
        point();
        say("at", at);
    }
#else
    for (long i = 0; i < rounds; i++) {
        if (next() == 0)
            continue;
        point();
        sum += i & 1;
    }
#endif
    return sum + base;
}

int main(void) {
    long rounds = next();
    say("result", work(rounds, 40));
    return 0;
}

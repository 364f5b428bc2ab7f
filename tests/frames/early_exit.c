// A way out is added before the call; the old values do not take it.
// rule: 3.5
// good: right
// point: 3
// input: 5 1000
#include "frames.h"

static NOINLINE long work(long rounds, long limit) {
    long total = 0;
    for (long i = 0; i < rounds; i++) {
#if NEW
        if (total > limit)
            break;
#endif
        point();
        total += i * i;
    }
    return total - limit;
}

int main(void) {
    long rounds = next(), limit = next();
    say("result", work(rounds, limit));
    return 0;
}

// A way out is added before the call, and the old values would have taken it: the new program is never there.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 4
// input: 5 3
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

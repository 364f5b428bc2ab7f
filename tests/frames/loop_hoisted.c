// A product that does not change in the new loop is computed before it and kept in a register.
// rule: 3.3(d)
// good: right
// point: 2
// input: 4 6 7
#include "frames.h"

static NOINLINE long work(long rounds, long a, long b) {
    long total = 0;
    for (long i = 0; i < rounds; i++) {
        point();
#if NEW
        total += a * b + i * 0;
#else
        total += a * 6 + b - b;
        if (i > 100)
            total += b;
#endif
    }
    return total + a - b;
}

int main(void) {
    long rounds = next(), a = next(), b = next();
    say("result", work(rounds, a, b));
    return 0;
}

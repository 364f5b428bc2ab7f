// The old function keeps a variable that the new one does not have.
// rule: 3.2
// good: right
// point: 2
// input: 3 4
#include "frames.h"

static NOINLINE long work(long rounds, long n) {
    long total = n;
#if !NEW
    long extra = n * 31;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
        total += i;
#if !NEW
        extra ^= total;
#endif
    }
#if !NEW
    say("extra", extra);
#endif
    return total;
}

int main(void) {
    long rounds = next(), n = next();
    say("result", work(rounds, n));
    return 0;
}

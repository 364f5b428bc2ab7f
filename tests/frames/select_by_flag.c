// A truth value that the new code computes before the call from what the old one has.
// rule: 3.3(d)
// good: either
// point: 1
// input: 4 6
#include "frames.h"

static NOINLINE long work(long a, long b) {
#if NEW
    bool less = a < b;
#endif
    point();
#if NEW
    return less ? a * 10 : b * 10;
#else
    return a + b;
#endif
}

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b));
    return 0;
}

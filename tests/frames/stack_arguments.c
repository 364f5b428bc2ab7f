// Eight arguments: two lie in the caller's frame and belong to the callee.
// rule: 3.4
// good: right
// point: 1
// input: 5 8
#include "frames.h"

static NOINLINE long work(long a, long b, long c, long d, long e, long f, long g, long h) {
    point();
    long sum = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
#if NEW
    return sum + 7 * g + 8 * h;
#else
    return sum + g;
#endif
}

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b, a + 1, b + 1, a + 2, b + 2, a + 3, b + 3));
    return 0;
}

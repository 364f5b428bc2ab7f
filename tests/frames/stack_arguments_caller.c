// The caller of a function with eight arguments changes, the callee does not.
// rule: 3.4
// good: right
// point: 2
// input: 5 8
#include "frames.h"

static NOINLINE long callee(long a, long b, long c, long d, long e, long f, long g, long h) {
    point();
    g += 1;
    point();
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

static NOINLINE long work(long a, long b) {
    long result = callee(a, b, a + 1, b + 1, a + 2, b + 2, a + 3, b + 3);
#if NEW
    say("one", result);
#endif
    return result + a * b;
}

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b));
    return 0;
}

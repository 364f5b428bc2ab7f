// The new function keeps more across the call and saves more registers for its caller.
// rule: 3.3(b)
// good: right
// point: 1
// input: 3 4 5 6
#include "frames.h"

static NOINLINE long work(long a, long b, long c, long d) {
    point();
#if NEW
    say("all", a * 1000 + b * 100 + c * 10 + d);
    point();
    return a - b + c - d;
#else
    return a;
#endif
}

static NOINLINE long caller(long a, long b, long c, long d) {
    long kept = a * b * c, other = c + d;
    long result = work(a, b, c, d);
    return result + kept * other + d;
}

int main(void) {
    long a = next(), b = next(), c = next(), d = next();
    say("result", caller(a, b, c, d) + a);
    return 0;
}

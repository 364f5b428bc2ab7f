// Fibonacci, 40 frames deep; the new version reports more as it unwinds.
// rule: 3.3
// good: right
// point: 1
// input: 40
#include "frames.h"

static long deepest;

static NOINLINE long fibonacci(long n, long depth, long *previous) {
    if (n <= 1) {
        deepest = depth;
        point();
        *previous = 0;
        return n;
    }
    long before = 0;
    long value = 0;
    value = fibonacci(n - 1, depth + 1, &before);
    *previous = value;
#if NEW
    say("depth", depth);
    say("value", value + before);
#endif
    return value + before;
}

int main(void) {
    long before = 0, n = next();
    say("result", fibonacci(n, 0, &before));
    say("deepest", deepest);
    return 0;
}

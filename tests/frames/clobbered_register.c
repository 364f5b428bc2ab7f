// A callee that waits is known to leave call-clobbered registers alone, and the caller keeps values in them (-fipa-ra).
// rule: 3.2
// good: either
// point: 2
// input: 7 9 11
#include "frames.h"

static NOINLINE void leaf(void) { wait_here(); }

static NOINLINE long work(long a, long b, long c) {
    leaf();
    long sum = a + b;
#if NEW
    sum += 3 * c;
#endif
    leaf();
    return sum * c + a - b;
}

int main(void) {
    long a = next(), b = next(), c = next();
    say("result", work(a, b, c));
    return 0;
}

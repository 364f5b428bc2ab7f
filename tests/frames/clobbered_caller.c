// The function that waits changes and now needs call-clobbered registers that its unchanged caller keeps values in.
// rule: 3.2
// kind: counterexample
// good: either
// point: 1
// input: 7 9
#include "frames.h"

static NOINLINE long leaf(long n) {
    wait_here();
#if NEW
    return n * 3 + 1;
#else
    return n * 2;
#endif
}

static NOINLINE long work(long a, long b) { return leaf(a + 1) + a * b; }

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b));
    return 0;
}

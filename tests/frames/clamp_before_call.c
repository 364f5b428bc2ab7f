// Only the new code clamps its parameter before the call: what the old one has in the same variable is not clamped.
// rule: 3.3(a)
// kind: counterexample
// good: either
// point: 1
// input: 100
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    if (n > 50)
        n = 50;
#endif
    point();
    say("n", n);
    return n * 2;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

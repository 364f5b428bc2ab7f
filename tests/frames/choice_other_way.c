// The new code bounds a number on one side before the call, and the old number lies beyond: it is not what the old frame has.
// rule: 3.39
// kind: counterexample
// good: either
// point: 1
// input: 900 7
#include "frames.h"

static NOINLINE long work(long n, unsigned m) {
#if NEW
    if (n > 255)
        n = 255;
    if (m < 9)
        m = 9;
#endif
    point();
    say("n", n);
    say("m", m);
    return n * 2 - m;
}

int main(void) {
    long n = next();
    say("result", work(n, (unsigned)next()));
    return 0;
}

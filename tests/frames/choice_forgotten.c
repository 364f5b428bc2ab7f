// The new code chooses by what its parameter was, which the old code has forgotten by then, and its caller with it.
// rule: 3.39
// kind: counterexample
// good: either
// point: 1
// input: 20 4
#include "frames.h"

static NOINLINE long work(long n, long m) {
#if NEW
    long top = n > m * 7 ? m : n;
#else
    long top = n;
#endif
    say("m", m);
    point();
    say("top", top);
    return top * 2;
}

int main(void) {
    long n = next();
    say("result", work(n, next()));
    return 0;
}

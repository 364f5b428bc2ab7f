// The number that is built into the new function is not the one that the old caller passed.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 1
// input: 12
#include "frames.h"

#if NEW
enum { SCALE = 3 };
#else
enum { SCALE = 5 };
#endif

static NOINLINE long work(long n, long scale) {
    point();
    say("scale", scale);
    return n * scale + VERSION;
}

static NOINLINE long caller(long n) { return work(n, SCALE) - work(n + 1, SCALE); }

int main(void) {
    say("result", caller(next()));
    return 0;
}

// What the new compiler folds to a constant, which the new DWARF calls constant, has another value in the old frame.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    const long scale = 4;
#else
    long scale = n > 3 ? 9 : 4;
#endif
    point();
    say("scale", scale);
    return n * scale + scale;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

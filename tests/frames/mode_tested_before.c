// A test before the call decides where it lies in the new code; the old code asked something else.
// rule: 3.5
// kind: counterexample
// good: either
// point: 1
// input: 1 6
#include "frames.h"

static NOINLINE long work(long mode, long n) {
#if NEW
    if (mode == 2) {
        point();
        say("two", n);
    } else {
        point();
        say("other", n);
    }
#else
    if (mode >= 1) {
        point();
        say("some", n);
    } else {
        point();
        say("none", n);
    }
#endif
    return n + 1;
}

int main(void) {
    long mode = next(), n = next();
    say("result", work(mode, n));
    return 0;
}

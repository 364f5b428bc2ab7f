// An automatic variable becomes a static of the function: the new object would hold its initial value.
// rule: 3.7, 2.1
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    static long kept;
#else
    long kept;
#endif
    kept = 3 + n;
    point();
    kept += 1;
    say("kept", kept);
    return kept;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// A static of the function becomes automatic, with the same value at the point.
// rule: 3.6
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    long kept = 3;
#else
    static long kept = 3;
#endif
    kept += n;
    point();
    kept += 1;
    say("kept", kept);
    return kept;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

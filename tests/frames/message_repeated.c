// The old code says something before the call, the new one after it: it would be said twice.
// rule: 3.7
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    point();
    say("once", n);
#else
    say("once", n);
    point();
#endif
    return n + 1;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

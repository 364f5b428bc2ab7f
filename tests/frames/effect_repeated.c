// The old code counts before the call, the new one after it: it would be counted twice.
// rule: 3.7
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

static long counter;

static NOINLINE long work(long n) {
#if NEW
    point();
    counter += n;
#else
    counter += n;
    point();
#endif
    return counter + 1;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

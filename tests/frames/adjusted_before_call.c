// Old and new change the variable before the call by different amounts.
// rule: 3.3(a)
// kind: counterexample
// good: either
// point: 1
// input: 100
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    n += 2;
#else
    n += 1;
#endif
    point();
    say("n", n);
    return n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

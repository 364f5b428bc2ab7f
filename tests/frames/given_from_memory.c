// What the caller gave was read from a variable that the called function has changed since.
// rule: 3.4
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

NOINLINE long work(long n, long *from) {
    *from = n * 3 + 1;
    point();
#if NEW
    say("n", n);
#endif
    return 7;
}

int main(void) {
    long own = next();
    long result = work(own, &own);
    say("result", result + own);
    return 0;
}

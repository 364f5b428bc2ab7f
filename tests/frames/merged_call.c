// Two calls of the old source became one.
// rule: 3.1
// kind: counterexample
// good: either
// point: 1
// input: 5 0
#include "frames.h"

static NOINLINE long work(long n, long flag) {
#if NEW
    point();
    n += flag ? 1 : -1;
#else
    if (flag) {
        point();
        n += 10;
    } else {
        point();
        n -= 10;
    }
#endif
    say("n", n);
    return n;
}

int main(void) {
    long n = next(), flag = next();
    say("result", work(n, flag));
    return 0;
}

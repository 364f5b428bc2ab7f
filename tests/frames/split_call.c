// One call of the old source became two, one on each side of a condition.
// rule: 3.1, 3.5
// good: right
// point: 1
// input: 5 1
#include "frames.h"

static NOINLINE long work(long n, long flag) {
#if NEW
    if (flag) {
        point();
        n += 10;
    } else {
        point();
        n -= 10;
    }
#else
    point();
    n += flag ? 1 : -1;
#endif
    say("n", n);
    return n;
}

int main(void) {
    long n = next(), flag = next();
    say("result", work(n, flag));
    return 0;
}

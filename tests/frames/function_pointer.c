// A local points to a function, which moves and changes.
// rule: 1.1
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long plus(long n) { return n + VERSION; }
static NOINLINE long times(long n) { return n * (VERSION + 2); }

static NOINLINE long work(long n) {
    long (*apply)(long) = n > 3 ? times : plus;
    point();
#if NEW
    say("applied", apply(n + 1));
#endif
    return apply(n);
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// The old function does not read its parameter after the call; the new one does.
// rule: 3.4
// good: either
// point: 1
// input: 6 7
#include "frames.h"

static NOINLINE long work(long n, long m) {
    long kept = m + 1;
    point();
#if NEW
    return n * kept;
#else
    return kept;
#endif
}

static NOINLINE long caller(long n, long m) { return work(n, m) + n; }

int main(void) {
    long n = next(), m = next();
    say("result", caller(n, m));
    return 0;
}

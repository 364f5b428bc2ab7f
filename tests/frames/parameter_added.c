// A parameter is added; every caller passes the same constant.
// rule: 3.5, 3.6
// good: either
// point: 1
// input: 10
#include "frames.h"

#if NEW
static NOINLINE long work(long n, int verbose) {
    point();
    if (verbose)
        say("verbose", n);
    return n + verbose;
}
#else
static NOINLINE long work(long n) {
    point();
    return n;
}
#endif

int main(void) {
    long n = next();
#if NEW
    say("result", work(n, 1) + work(n + 1, 1));
#else
    say("result", work(n) + work(n + 1));
#endif
    return 0;
}

// The call under way does not come back, but reads a local of its caller's that the new code makes otherwise.
// rule: 3.37
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

struct limits {
    long low, high;
};

static NOINLINE void serve(const struct limits *limits) {
    point();
    say("low", limits->low);
    say("high", limits->high);
    exit(0);
}

static NOINLINE long work(long n) {
#if NEW
    struct limits limits = {n, n * 2};
#else
    struct limits limits = {n, n * 3};
#endif
    serve(&limits);
    return limits.low;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// As stale_local, but the local has a value, an address that is followed, and what is in it is read by a function that knows where it is.
// rule: 3.35
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

static long **known;

static NOINLINE void keep(long **place) { known = place; }

static NOINLINE long read_it(void) { return **known; }

static NOINLINE void wait_with(long *value) {
    *known = value;
    point();
    *value += read_it();
}

static NOINLINE long work(long n) {
    long value = n;
#if NEW
    long more[4] = {n, n + 1, n + 2, n + 3};
#endif
    long *first;
    keep(&first);
    wait_with(&value);
#if NEW
    say("more", peek(more + n % 4));
#endif
    return value;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

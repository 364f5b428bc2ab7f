// A call moves behind the wait, and another one of the same function with the same argument comes before it.
// rule: 3.21
// kind: counterexample
// good: refused
// point: 1
// input: 4

#include "frames.h"

static NOINLINE void add(long *sum, long n) { *sum += n; }

static NOINLINE long work(long n) {
    static long sum;
#if NEW
    add(&sum, n);
    point();
    add(&sum, n);
#else
    add(&sum, n);
    add(&sum, n);
    point();
#endif
    return sum;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// A cheap test before a large body: the compiler may take the test into the callers and call the rest (.part).
// rule: 3.1
// good: either
// point: 1
// input: 9
#include "frames.h"

static long work(long n) {
    if (n == 0)
        return 0;
    point();
    say("n", n);
    say("twice", n * 2);
#if NEW
    say("thrice", n * 3);
#endif
    say("square", n * n);
    return n + 1;
}

static NOINLINE long first(long n) { return work(n) + work(n - 1); }
static NOINLINE long second(long n) { return work(n) - work(n + 1); }

int main(void) {
    long n = next();
    long result = first(n);
    say("result", result + second(n));
    return 0;
}

// The same inlined function waits at two places of the function; the scope tells which.
// rule: 3.1
// good: right
// point: 2
// input: 5
#include "frames.h"

static inline long stage(long n, long weight) {
    long own = n * weight;
    point();
    return own + 1;
}

static NOINLINE long work(long n) {
    long result = stage(n, 3);
    say("first", result);
    result += stage(n + 1, 5);
#if NEW
    say("second", result);
#endif
    return result * n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

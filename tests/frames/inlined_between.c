// A third call of the inlined function appears between two others.
// rule: 3.1
// good: either
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
#if NEW
    if (n > 100)
        result += stage(n + 7, 4);
#endif
    long second = stage(n + 1, 5);
    say("second", second);
    return result * n + second;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// Only the new code reads a negative int as a long: the bits above it are whatever the old code left there.
// rule: 3.2
// good: right
// point: 1
// input: -3
#include "frames.h"

static const long table[8] = {10, 20, 30, 40, 50, 60, 70, 80};

static NOINLINE long work(int n, const long *middle) {
    point();
#if NEW
    return middle[n] + n;
#else
    return middle[0] + (n < 0);
#endif
}

int main(void) {
    say("result", work((int)next(), table + 4));
    return 0;
}

// The new loop has a fixed number of rounds and may be unrolled: several calls stand for one.
// rule: 3.1, 3.5
// good: either
// point: 3
// input: 4 1 2 3 4
#include "frames.h"

static NOINLINE long work(const long *values, long count) {
    long total = 0;
#if NEW
    count = 4;
#pragma GCC unroll 4
#endif
    for (long i = 0; i < count; i++) {
        point();
        total = total * 3 + values[i];
    }
    return total;
}

int main(void) {
    long values[4] = {0}, count = next();
    for (int i = 0; i < 4; i++)
        values[i] = next();
    say("result", work(values, count));
    return 0;
}

// Locals point to an element and to the end of a static array that moves.
// rule: 1.2, 3.3
// good: right
// point: 2
// input: 5
#include "frames.h"

#if NEW
static long before_it[40] = {1};
#endif
static long values[6] = {3, 1, 4, 1, 5, 9};

static NOINLINE long work(long n) {
    long total = n;
    for (long *at = values, *end = values + 6; at < end; at++) {
        point();
        total = total * 2 + *at;
    }
#if NEW
    before_it[3] = total;
    total += before_it[0] + before_it[n];
#endif
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// The old loop counts an index, the new one moves a pointer.
// rule: 3.3
// good: either
// point: 3
// input: 5
#include "frames.h"

static long values[6] = {3, 1, 4, 1, 5, 9};

static NOINLINE long work(long n) {
    long total = n;
#if NEW
    for (long *at = values; at < values + 6; at++) {
        point();
        total = total * 2 + *at;
    }
#else
    for (long i = 0; i < 6; i++) {
        point();
        total = total * 2 + values[i];
    }
#endif
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

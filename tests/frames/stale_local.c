// A local without a value yet has what an earlier call has left there: an address in a frame that is gone.
// rule: 3.35
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long leave(long n) {
    long own[2] = {n, n + 1};
    long *volatile kept[12];
    for (int i = 0; i < 12; i++)
        kept[i] = &own[i % 2];
    return *kept[3] + *kept[8];
}

static NOINLINE long work(long n) {
    long first, second, third;
    point();
    first = n * 2;
    second = first + next();
    third = second * first;
#if NEW
    say("third", third);
#endif
    return third - second;
}

int main(void) {
    long n = next();
    say("left", leave(n));
    say("result", work(n));
    return 0;
}

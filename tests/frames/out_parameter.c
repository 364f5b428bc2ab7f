// A local whose address was given away is written by the callee while it waits.
// rule: 3.2, 3.4
// good: right
// point: 1
// input: 4
#include "frames.h"

static NOINLINE long fetch(long *low, int *high) {
    *low = 12;
    point();
    *high = 34;
    return *low + *high;
}

static NOINLINE long work(long n) {
    long low = n;
    int high = 0;
    long sum = fetch(&low, &high);
#if NEW
    say("low", low);
#endif
    return sum * n + low + high;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

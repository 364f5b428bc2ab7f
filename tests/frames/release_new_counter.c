// A main loop gains a local counter of what it has served since it began.
// rule: 3.6
// kind: release
// good: refused
// point: 3
// input: 4 5 6 0
#include "frames.h"

NOINLINE long serve(void) {
    long sum = 0;
#if NEW
    long served = 0;
#endif
    for (;;) {
        point();
        long value = next();
        if (value == 0)
            break;
        sum += value;
#if NEW
        served++;
#endif
    }
#if NEW
    say("served", served);
#endif
    return sum;
}

int main(void) { say("sum", serve()); }

// Floating-point locals live across the call.
// rule: 3.2
// good: right
// point: 2
// input: 3 7
#include "frames.h"

static NOINLINE double work(long rounds, double start, float factor) {
    double total = start;
    for (long i = 0; i < rounds; i++) {
        point();
        total = total * (double)factor + (double)i;
    }
#if NEW
    total += (double)factor;
#endif
    return total;
}

int main(void) {
    long rounds = next(), start = next();
    double result = work(rounds, (double)start, 1.5f);
    say("result", (long)(result * 1000.0));
    return 0;
}

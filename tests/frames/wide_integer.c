// A local of 128 bits in two registers.
// rule: 3.4
// good: right
// point: 1
// input: 123456789 987654321
#include "frames.h"

static NOINLINE long work(long a, long b) {
    __int128 wide = (__int128)a * b * a * b;
    point();
    say("low", (long)wide);
#if NEW
    wide += 1;
#endif
    return (long)(wide >> 64);
}

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b));
    return 0;
}

// Locals of one and two bytes and truth values; the new code reads them wider.
// rule: 3.2
// good: right
// point: 1
// input: -5 300 1
#include "frames.h"

static NOINLINE long work(signed char small, short middle, bool truth, unsigned char byte) {
    point();
#if NEW
    long wide = small;
    return wide * 1000 + middle * (truth ? 2 : 3) + byte;
#else
    return small + middle + truth + byte;
#endif
}

int main(void) {
    long a = next(), b = next(), c = next();
    say("result", work((signed char)a, (short)b, c != 0, (unsigned char)(a * b)));
    return 0;
}

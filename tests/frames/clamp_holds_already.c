// Only the new code clamps its parameter before the call, and the value is within the bounds: a proof may or may not see that.
// rule: 3.3(a)
// good: either
// point: 1
// input: 20
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    if (n > 50)
        n = 50;
    if (n < 0)
        n = 0;
#endif
    point();
    say("n", n);
    return n * 2;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

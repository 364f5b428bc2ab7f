// The new code says something before the call, which is skipped and read by nothing.
// rule: 3.7
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    say("begins", n);
#endif
    point();
    return n * 3;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

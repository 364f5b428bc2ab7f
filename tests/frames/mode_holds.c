// The same test before the call on both sides, with other code behind it.
// rule: 3.5
// good: right
// point: 1
// input: 2 6
#include "frames.h"

static NOINLINE long work(long mode, long n) {
    if (mode == 2) {
        point();
#if NEW
        say("new", n * 2);
#endif
        say("two", n);
    } else {
        point();
        say("other", n);
    }
    return n + mode;
}

int main(void) {
    long mode = next(), n = next();
    say("result", work(mode, n));
    return 0;
}

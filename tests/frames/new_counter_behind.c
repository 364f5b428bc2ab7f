// A variable that only the new function has, 0 at the first point but changed after it: at the first point 0 is right.
// rule: 3.6
// kind: counterexample
// good: either
// point: 1
// input: 4
#include "frames.h"

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long seen = 0;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
        total += i;
#if NEW
        seen += total;
#endif
    }
#if NEW
    say("seen", seen);
#endif
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// A variable that only the new function has and that the rounds before the point have changed.
// rule: 3.6
// kind: counterexample
// good: refused
// point: 3
// input: 4
#include "frames.h"

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long seen = 0;
#endif
    for (long i = 0; i < rounds; i++) {
#if NEW
        seen = seen * 3 + i;
#endif
        point();
        total += i;
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

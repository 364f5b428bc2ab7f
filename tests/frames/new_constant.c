// A variable that only the new function has, with one value on all paths. (The total is 0 on both sides at the point.)
// rule: 3.6
// kind: counterexample
// good: refused
// point: 2
// input: 3
#include "frames.h"

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long step = 7;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
#if NEW
        total += i * step;
        say("step", step);
#else
        total += i;
#endif
    }
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

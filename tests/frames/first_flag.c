// Only the new function has the flag; it is true where it is made and false at the point, and must not greet again.
// rule: 3.6
// kind: counterexample
// good: either
// point: 3
// input: 5
#include "frames.h"

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    bool first = true;
#endif
    for (long i = 0; i < rounds; i++) {
#if NEW
        if (first) {
            say("hello", 1);
            first = false;
        }
#endif
        point();
        total += i;
    }
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

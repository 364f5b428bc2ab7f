// The new code still needs what a parameter was that goes down with the rounds, but not in each of them.
// rule: 3.43
// kind: counterexample
// good: either
// point: 3
// input: 6 8
#include "frames.h"

static NOINLINE long work(long rounds, long length) {
    long total = 0;
#if NEW
    long whole = length;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
        total += length;
        if (total & 8)
            length -= 1;
    }
#if NEW
    say("whole", whole);
#endif
    return total + length;
}

int main(void) {
    long rounds = next();
    say("result", work(rounds, next()));
    return 0;
}

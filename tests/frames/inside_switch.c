// The call lies inside a case of a switch by jump table; the cases have moved.
// rule: 3.1, 3.5
// good: either
// point: 2
// input: 4 3 1 0
#include "frames.h"

static NOINLINE long work(long rounds) {
    long total = 0;
    for (long i = 0; i < rounds; i++) {
        long kind = next();
        switch (kind) {
#if NEW
        case 7: say("seven", total); break;
#endif
        case 0: total += 1; break;
        case 1: point(); total *= 3; break;
        case 2: total -= 4; break;
        case 3: point(); total += 5; break;
        case 4: total ^= 9; break;
        default: total += kind; break;
        }
    }
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

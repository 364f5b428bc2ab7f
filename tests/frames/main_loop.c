// main itself changes in the middle of its loop.
// rule: 3.3
// good: right
// point: 3
// input: 5 1 2 3 4 5
#include "frames.h"

int main(void) {
    long rounds = next(), total = 0, largest = 0;
    for (long i = 0; i < rounds; i++) {
        long value = next();
        if (value > largest)
            largest = value;
        point();
        total += value * i;
#if NEW
        if (total > 30)
            say("much", total);
#endif
    }
    say("largest", largest);
    say("result", total);
    return 0;
}

// A loop keeps the largest value so far, and in the new version does something more at its end: ways that led back to its head meet before.
// rule: 3.3, 3.11
// kind: release
// good: right
// point: 4
// input: 5 3 9 4 7 1 0
#include "frames.h"

static long rounds;

NOINLINE void work(void) {
    long largest = 4;
    for (;;) {
        point();
        long value = next();
        if (!value)
            break;
        say("value", value);
        if (value > largest)
            largest = value;
#if NEW
        rounds++;
#endif
    }
    say("largest", largest);
}

int main(void) {
    work();
    say("counted", rounds > 0);
    return 0;
}

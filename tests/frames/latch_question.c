// What a round leaves to the next is decided by the last branch of the loop: ways that lead back from several places are told apart by what
// is asked there, as ways that meet within the round are.
// rule: 3.3, 3.11
// kind: counterexample
// good: refused
// point: 4
// input: 5 3 9 4 7 1
#include "frames.h"

NOINLINE void work(long rounds) {
    long kept = 4;
    for (;;) {
        long value = next();
        if (!value)
            break;
        point();
        say("kept", kept);
#if NEW
        if (value < kept)
            kept = value;
#else
        if (value > kept)
            kept = value;
#endif
    }
    say("kept", kept + rounds);
}

int main(void) {
    work(next());
    return 0;
}

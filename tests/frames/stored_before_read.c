// What a round read is used in the next one, and before it is read, behind the point, the new code stores there, and the old code does not.
// rule: 3.4, 3.28
// kind: counterexample
// good: refused
// point: 3
// input: 5 9
#include "frames.h"

long level;

NOINLINE void work(long rounds) {
    long seen = 0;
    for (long i = 0; i < rounds; i++) {
        point();
        say("seen", seen);
#if NEW
        level = 3;
#endif
        say("round", i);
        seen = level;
    }
}

int main(void) {
    long rounds = next();
    level = next();
    work(rounds);
    return 0;
}

// What a round read is used in the next one, and since then the old code has stored there, and the new code does not.
// rule: 3.4, 3.28
// kind: counterexample
// good: refused
// point: 3
// input: 5
#include "frames.h"

long level;

NOINLINE void work(long rounds) {
    long seen = 0;
    for (long i = 0; i < rounds; i++) {
#if !NEW
        level = i * 3;
#endif
        point();
        say("seen", seen);
        seen = level;
#if NEW
        say("round", i);
#endif
    }
}

int main(void) {
    work(next());
    return 0;
}

// The new code keeps what a global begins with, and that changes: the global takes the new program's number.
// rule: 3.41
// kind: counterexample
// good: either
// point: 2
// input: 3
#include "frames.h"

#if NEW
static long limit = 7;
#else
static long limit = 5;
#endif

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long bound = limit;
#endif
    for (long i = 0; i < rounds; i++) {
        point();
#if NEW
        total += bound;
#else
        total += limit;
#endif
    }
    return total;
}

int main(int count, char **arguments) {
    (void)arguments;
    long rounds = next();
    if (count > 3)
        limit = rounds;
    say("result", work(rounds));
    return 0;
}

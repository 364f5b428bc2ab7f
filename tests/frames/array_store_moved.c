// An array is stored to ahead of the call in each round, and was behind it.
// rule: 3.33
// kind: counterexample
// good: either
// point: 3
// input: 4
#include "frames.h"

static NOINLINE long work(long n) {
    long values[4] = {0};
    for (long i = 0; i < 4; i++) {
#if NEW
        values[i] = n + i;
        point();
#else
        point();
        values[i] = n + i;
#endif
    }
    return peek(&values[2]) * 10 + peek(&values[3]);
}

int main(void) {
    say("result", work(next()));
    return 0;
}

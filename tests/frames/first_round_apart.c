// The new code makes its first round apart and counts one round more: its counter stands one further after as many rounds of the loop.
// rule: 3.20
// kind: counterexample
// good: either
// point: 3
// input: 6

#include "frames.h"

static NOINLINE void wait_once(long i) {
    say("before", i);
    point();
}

static NOINLINE long work(long rounds) {
    long sum = 0, i = 0;
#if NEW
    rounds++;
    wait_once(i);
    for (i = 1; i < rounds; i++) {
        wait_once(i);
        sum += i * 3;
    }
#else
    for (i = 0; i < rounds; i++) {
        wait_once(i);
        sum += i * 5;
    }
#endif
    return i;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

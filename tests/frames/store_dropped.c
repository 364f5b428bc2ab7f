// An element that only the new code stores, as the function that is called overwrites it: what that has stored counts.
// rule: 3.33
// kind: counterexample
// good: either
// point: 1
// input: 4
#include "frames.h"

static NOINLINE void second(long n, long *outer) {
    outer[2] = n * 11;
    point();
    outer[1] += 1;
}

static NOINLINE long first(long n) {
    long own[3];
    own[0] = n;
    own[1] = n * 2;
#if NEW
    own[2] = n * 3;
#endif
    second(n + 1, own);
    return own[0] + own[1] + own[2] + VERSION;
}

int main(void) {
    say("result", first(next()));
    return 0;
}

// The old code has stored into a struct that was passed to it by value; the new code reads it as it was passed.
// rule: 3.38
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

struct big {
    long values[6];
};

static NOINLINE long work(struct big big, long n) {
#if !NEW
    big.values[2] += n;
    __asm__ volatile("" : "+m"(big.values[2]));
#endif
    point();
    say("third", big.values[2]);
    return big.values[0] * 3 + big.values[1] - big.values[5];
}

int main(void) {
    struct big big = {{1, 2, 3, 4, 5, 6}};
    long n = next();
    big.values[1] = n;
    say("result", work(big, n) + big.values[2]);
    return 0;
}

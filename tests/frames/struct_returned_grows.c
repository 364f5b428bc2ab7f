// A struct that is returned through a hidden pointer gets another member in front: what is under way fills in the old one.
// rule: 3.40
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

struct big {
#if NEW
    long before;
#endif
    long values[6];
};

static NOINLINE struct big make(long n) {
    struct big big;
    memset(&big, 0, sizeof big);
    point();
    for (int i = 0; i < 6; i++)
        big.values[i] = n * i;
    return big;
}

static NOINLINE long work(long n) {
    struct big one = make(n);
    say("third", one.values[3]);
    return one.values[3] + one.values[5];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

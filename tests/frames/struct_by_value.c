// A large struct is passed by value.
// rule: 3.4
// good: right
// point: 1
// input: 5
#include "frames.h"

struct big {
    long values[6];
};

static NOINLINE long work(struct big big, long n) {
    big.values[2] += n;
    point();
    long total = 0;
    for (int i = 0; i < 6; i++)
        total = total * 3 + big.values[i];
#if NEW
    say("third", big.values[2]);
#endif
    return total;
}

int main(void) {
    struct big big = {{1, 2, 3, 4, 5, 6}};
    long n = next();
    big.values[1] = n;
    say("result", work(big, n) + big.values[2]);
    return 0;
}

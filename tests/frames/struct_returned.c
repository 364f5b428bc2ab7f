// A struct is returned through a hidden pointer to the caller's frame, which grows.
// rule: 3.3(c)
// good: right
// point: 1
// input: 5
#include "frames.h"

struct big {
    long values[6];
};

static NOINLINE struct big make(long n) {
    struct big big = {{0}};
    point();
    for (int i = 0; i < 6; i++)
        big.values[i] = n * i;
    return big;
}

static NOINLINE long work(long n) {
    struct big one = {{0}};
    one = make(n);
#if NEW
    struct big two = make(n + 1);
    one.values[3] += two.values[4];
#endif
    return one.values[3] + one.values[5];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

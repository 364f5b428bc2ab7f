// A loop made of labels.
// rule: 3.6
// good: right
// point: 3
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
    long total = 0, left = n;
again:
    if (left == 0)
        goto done;
    point();
    total += left * left;
    left--;
#if NEW
    if (total > 1000)
        goto done;
#endif
    goto again;
done:
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

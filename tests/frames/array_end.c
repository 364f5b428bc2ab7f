// A longer array, and a pointer to its end that a deeper frame keeps.
// rule: 3.33, 1.2
// kind: counterexample
// good: either
// point: 1
// input: 3
#include "frames.h"

static NOINLINE long sum(const long *at, const long *end) {
    point();
    long total = 0;
    for (; at < end; at++)
        total = total * 3 + *at;
    return total;
}

static NOINLINE long work(long n) {
    long values[NEW ? 8 : 4] = {0};
    for (int i = 0; i < 4; i++)
        values[i] = n * i + 1;
    return sum(values, values + sizeof values / sizeof *values);
}

int main(void) {
    say("result", work(next()));
    return 0;
}

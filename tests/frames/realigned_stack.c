// A local wants more alignment than the stack has.
// rule: 3.8
// good: either
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long sum(const long *values) { return values[0] + values[3] + ((uintptr_t)values % 64 == 0); }

static NOINLINE long work(long n) {
    long values[8] __attribute__((aligned(64))) = {0};
    values[3] = n;
    point();
    values[0] += sum(values);
#if NEW
    say("sum", sum(values));
#endif
    return values[0];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

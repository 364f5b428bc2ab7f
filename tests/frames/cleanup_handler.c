// A local with a clean-up function.
// rule: 3.8
// good: right
// point: 1
// input: 6
#include "frames.h"

static NOINLINE void release(long **block) {
    say("released", **block);
    free(*block);
}

static NOINLINE long work(long n) {
    __attribute__((cleanup(release))) long *block = calloc(4, sizeof *block);
    block[0] = n;
    point();
#if NEW
    block[0] += 1;
#endif
    return block[0] * 2;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

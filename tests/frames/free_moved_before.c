// The old code frees the block after the wait, the new one before it: the block is never freed, which nothing reads.
// rule: 3.7
// kind: counterexample
// good: either
// point: 1
// input: 8
#include "frames.h"

static NOINLINE long work(long n) {
    long *block = malloc(64);
    block[0] = n;
    long value = peek(block);
#if NEW
    free(block);
    point();
#else
    point();
    free(block);
#endif
    return value + 1;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

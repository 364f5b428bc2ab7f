// The old code frees the block before the wait, the new one after it.
// rule: 3.7
// kind: counterexample
// good: refused
// point: 1
// input: 8
#include "frames.h"

static NOINLINE long work(long n) {
    long *block = malloc(64);
    block[0] = n;
    long value = peek(block);
#if NEW
    point();
    free(block);
#else
    free(block);
    point();
#endif
    return value + 1;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

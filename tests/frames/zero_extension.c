// Only the new code reads an unsigned int as a long.
// rule: 3.2
// good: right
// point: 1
// input: 4294967290
#include "frames.h"

static NOINLINE long work(unsigned n) {
    point();
#if NEW
    return (long)n * 3;
#else
    return n > 5 ? 1 : 2;
#endif
}

int main(void) {
    say("result", work((unsigned)next()));
    return 0;
}

// A local points to a string literal whose text changes.
// rule: 2.1
// good: either
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    const char *name = n > 3 ? "enormous" : "tiny";
#else
    const char *name = n > 3 ? "large" : "small";
#endif
    point();
    return n + VERSION + (name != NULL);
}

int main(void) {
    say("result", work(next()));
    return 0;
}

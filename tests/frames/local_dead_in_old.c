// The old function does not read its local after the call; the new one does.
// rule: 3.3
// good: either
// point: 1
// input: 6
#include "frames.h"

static NOINLINE long work(long n) {
    long local = n * n - 4;
    say("local", local);
    point();
#if NEW
    say("again", local);
#endif
    return n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

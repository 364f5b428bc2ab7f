// A call at the end, by a jump in the old build, is an ordinary call in the new one: a frame is missing.
// rule: 3
// good: either
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long last(long n) {
    point();
    return n * 2;
}

static NOINLINE long work(long n) {
#if NEW
    return last(n) + 1;
#else
    return last(n);
#endif
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// What the old code keeps in a variable is a constant that the new compiler folds.
// rule: 3.2
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    const long scale = 4;
#else
    long scale = n > 1000 ? 9 : 4;
#endif
    point();
    return n * scale + scale;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

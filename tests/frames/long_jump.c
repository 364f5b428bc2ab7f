// The point lies between setjmp and longjmp; the function that jumps changes, the one that is jumped to does not.
// rule: 1.3
// good: either
// point: 1
// input: 5
#include "frames.h"

#include <setjmp.h>

static jmp_buf back;

static NOINLINE void work(long n) {
    point();
#if NEW
    say("jumps", n);
#endif
    longjmp(back, (int)n);
}

static NOINLINE long around(long n) {
    volatile long kept = n * 3;
    int came = setjmp(back);
    if (came == 0)
        work(n);
    return came + kept;
}

int main(void) {
    say("result", around(next()));
    return 0;
}

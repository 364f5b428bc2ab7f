// The function that is jumped back to changes: the buffer holds registers of its old frame.
// rule: 1.3
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

#include <setjmp.h>

static jmp_buf back;

static NOINLINE void work(long n) {
    point();
    longjmp(back, (int)n);
}

static NOINLINE long around(long n) {
    volatile long kept = n * 3;
#if NEW
    volatile long more[4] = {n, n + 1, n + 2, n + 3};
#endif
    int came = setjmp(back);
    if (came == 0)
        work(n);
#if NEW
    say("more", more[1] + came);
#endif
    return came + kept;
}

int main(void) {
    say("result", around(next()));
    return 0;
}

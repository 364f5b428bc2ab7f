// A local of an enumeration whose numbers change.
// rule: 3.3, 2
// kind: counterexample
// good: either
// point: 1
// input: 2
#include "frames.h"

#if NEW
enum state { IDLE, WAITING, BUSY, DONE };
#else
enum state { IDLE, BUSY, DONE };
#endif

static NOINLINE enum state choose(long n) { return n > 1 ? BUSY : n == 1 ? DONE : IDLE; }

static NOINLINE long work(long n) {
    enum state state = choose(n);
    point();
    if (state == BUSY)
        say("busy", n);
    else if (state == DONE)
        say("done", n);
    return n + VERSION;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

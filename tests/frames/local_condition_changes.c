// A field of a struct in the frame is stored to under another condition.
// rule: 3.33
// kind: counterexample
// good: either
// point: 1
// input: 2
#include "frames.h"

struct state {
    long total, step;
};

static NOINLINE long work(long n) {
    struct state state = {n, 1};
    if (n > (NEW ? 1 : 2))
        state.step = 5;
    point();
    state.total += peek(&state.step);
    return state.total + peek(&state.total) + VERSION;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

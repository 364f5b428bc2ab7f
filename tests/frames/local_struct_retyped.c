// A struct in the frame changes its fields' types and order.
// rule: 3.3, 2
// good: either
// point: 1
// input: 4
#include "frames.h"

struct state {
#if NEW
    long count;
    long total;
#else
    int total;
    int count;
#endif
};

static NOINLINE void add(struct state *state, long n) {
    state->total += n;
    state->count += 1;
}

static NOINLINE long work(long n) {
    struct state state = {0};
    add(&state, n);
    add(&state, -3 * n);
    point();
    add(&state, 1);
    return state.total * 10 + state.count;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

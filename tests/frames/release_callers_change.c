// A wait at the end of three calls: the handler and the session loop change, what is between does not.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 2 30 40 0
#include "frames.h"

struct state {
    long requests, open, mode;
};

NOINLINE long receive(struct state *state) {
    state->open++;
    point();
    long value = next();
    state->open--;
    return value;
}

NOINLINE long handle(struct state *state, long base) {
    long value = receive(state);
    if (value == 0)
        return 0;
#if NEW
    if (state->mode > 1)
        say("mode", state->mode);
#endif
    say("value", base + value);
    return value;
}

NOINLINE long loop(struct state *state) {
    long sum = 0, value;
    while ((value = handle(state, 1000)) != 0) {
        state->requests++;
        sum += value;
#if NEW
        say("so far", sum);
#endif
    }
    return sum;
}

int main(void) {
    static struct state state;
    state.mode = next();
    say("sum", loop(&state));
    say("requests", state.requests);
    return 0;
}

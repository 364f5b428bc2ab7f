// Fields move in a structure that is reached through pointers: a parameter's, one in a variable, one of an array's elements.
// rule: 3.27
// good: right
// point: 2
// input: 3 4 5 6
#include "frames.h"

struct part {
#if NEW
    int rest, level;
#else
    int level, rest;
#endif
};
struct state {
#if NEW
    struct part parts[4];
    struct state *other;
    long rounds;
    int largest;
    bool seen;
#else
    long rounds;
    int largest;
    bool seen;
    struct state *other;
    struct part parts[4];
#endif
};
static struct state *global, *own;

NOINLINE static void work(struct state *state) {
    for (long value = next(); value; value = next()) {
        state->rounds++;
        if (value > state->largest)
            state->largest = (int)value;
        global->other->parts[value & 3].level = (int)value;
        long kept = state->rounds * 2;
        point();
        state->seen = true;
        say("kept", kept);
        say("value", value);
    }
    say("largest", state->largest);
}

NOINLINE static struct state *make(void) {
    struct state *state = calloc(1, sizeof *state);
    state->other = state;
    return state;
}

int main(void) {
    global = make();
    own = make();
    work(own);
    say("level", global->other->parts[3].level);
    return 0;
}

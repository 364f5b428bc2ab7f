// Fields of a variable move, and a function reads and writes them around the point.
// rule: 3.27
// good: right
// point: 2
// input: 3 4 5 6
#include "frames.h"

struct state {
#if NEW
    long before;
#endif
    long rounds;
    int largest;
    bool seen;
};
static struct state state;

NOINLINE static void work(void) {
    for (long value = next(); value; value = next()) {
        state.rounds++;
        if (value > state.largest)
            state.largest = (int)value;
        long kept = state.rounds * 2;
        point();
        state.seen = true;
        say("kept", kept);
        say("value", value);
    }
    say("largest", state.largest);
}

int main(void) {
    work();
    say("rounds", state.rounds);
    return 0;
}

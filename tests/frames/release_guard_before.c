// A function leaves at once on a bad argument; the argument that it waits with is good.
// rule: 3.5
// kind: release
// good: right
// point: 1
// input: 6 2 8
#include "frames.h"

NOINLINE long transfer(long from, long to, long amount) {
#if NEW
    if (amount <= 0) {
        say("bad amount", amount);
        return -1;
    }
#endif
    point();
    say("from", from - amount);
    say("to", to + amount);
    return amount;
}

int main(void) {
    long from = next(), to = next(), amount = next();
    long done = transfer(from, to, amount);
    say("done", done);
    say("left", from - done);
    say("amount", amount);
    return 0;
}

// A local of bit fields that is kept in a register.
// rule: 3.4
// good: right
// point: 1
// input: 5 9 2
#include "frames.h"

struct flags {
    unsigned kind : 3, level : 5, rest : 24;
};

static NOINLINE long work(struct flags flags) {
    flags.level += 1;
    point();
#if NEW
    say("kind", flags.kind);
#endif
    return (long)flags.level * 100 + flags.rest;
}

int main(void) {
    struct flags flags = {(unsigned)next() & 7, (unsigned)next() & 31, (unsigned)next()};
    say("result", work(flags));
    return 0;
}

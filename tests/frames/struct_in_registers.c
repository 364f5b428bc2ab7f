// A small struct whose members the compiler keeps in separate registers.
// rule: 3.4
// good: right
// point: 2
// input: 3 8 9
#include "frames.h"

struct span {
    long start, length;
};

static NOINLINE long work(long rounds, struct span span) {
    for (long i = 0; i < rounds; i++) {
        point();
        span.start += span.length;
        span.length -= 1;
    }
#if NEW
    say("length", span.length);
#endif
    return span.start;
}

int main(void) {
    long rounds = next();
    struct span span = {next(), next()};
    say("result", work(rounds, span));
    return 0;
}

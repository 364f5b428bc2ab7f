// The limit of a loop becomes lower than the round that the old program is in: the new program is never there, whatever its test of the
// counter asks (compilers test for equality).
// rule: 3.5
// kind: counterexample
// good: refused
// point: 25
// input: 9
#include "frames.h"

NOINLINE long work(long step) {
    long sum = 0;
    for (long i = 0; i < (NEW ? 20 : 30); i++) {
        point();
        sum += i * step;
        say("i", i);
    }
    return sum;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

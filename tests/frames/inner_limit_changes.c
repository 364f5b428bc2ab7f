// How far an inner loop counts decides what the outer one sums up: after some rounds of the outer one, the old sum is not the new one.
// rule: 3.11
// kind: counterexample
// good: refused
// point: 8
// input: 4 3 2

#include "frames.h"

static NOINLINE long work(long rounds, long few, long fewer) {
    long total = 0;
    for (long r = 0; r < rounds; r++) {
        long i = 0;
        for (;;) {
            point();
            i++;
            if (i >= (NEW ? fewer : few))
                break;
            if (peek(&r) == 99)
                break;
        }
        total += i;
    }
    return total + few + fewer;
}

int main(void) {
    long rounds = next(), few = next(), fewer = next();
    say("result", work(rounds, few, fewer));
    return 0;
}

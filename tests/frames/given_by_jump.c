// The function that waits was entered by a jump: the call that is seen on the stack gave its arguments to another one.
// rule: 3.4
// kind: counterexample
// good: either
// point: 2
// input: 5
#include "frames.h"

NOINLINE long work(long n, long m) {
    say("m", m);
    point();
#if NEW
    say("n", n);
#endif
    return 7;
}

NOINLINE long relay(long n, long m) {
    say("relay", m);
    return work(n * 10 + m, m + 1);
}

int main(void) {
    long n = next(), sum = 0;
    for (long i = 0; i < 2; i++)
        sum += relay(n, i);
    say("result", sum + n + work(n, 3));
    return 0;
}

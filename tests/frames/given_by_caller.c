// The old function drops its parameters before the wait; its caller still has what it gave, or can make it again.
// rule: 3.4
// good: either
// point: 2
// input: 5 9
#include "frames.h"

NOINLINE long work(long a, long b, const char *name) {
    say("given", a - b);
    point();
#if NEW
    say(name, a * b);
#endif
    return 4;
}

NOINLINE long middle(long a, long b) {
    long sum = 0;
    for (long i = 0; i < 2; i++)
        sum += work(a + i, b, "product") + a * i + b;
    return sum;
}

int main(void) {
    long a = next(), b = next();
    say("result", middle(a, b) + a * b);
    return 0;
}

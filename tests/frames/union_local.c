// A union on the stack.
// rule: 3.4
// good: right
// point: 1
// input: 6
#include "frames.h"

union number {
    long whole;
    double real;
};

static NOINLINE long fill(union number *number, long n) {
    number->whole = 0;
    if (n & 1)
        number->real = (double)n;
    else
        number->whole = n;
    return n & 1;
}

static NOINLINE long work(long n) {
    union number number;
    long is_real = fill(&number, n);
    point();
#if NEW
    say("kind", is_real);
#endif
    return is_real ? (long)number.real : number.whole;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

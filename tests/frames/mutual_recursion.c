// Two functions call each other, one of them changes.
// rule: 3.3
// good: right
// point: 1
// input: 17
#include "frames.h"

static long odd(long n, long sum);

static NOINLINE long even(long n, long sum) {
    if (n == 0) {
        point();
        return sum;
    }
    long result = odd(n - 1, sum + n);
#if NEW
    say("even", n);
#endif
    return result + 1;
}

static NOINLINE long odd(long n, long sum) {
    if (n == 0) {
        point();
        return -sum;
    }
    return even(n - 1, sum * 2) + 2;
}

int main(void) {
    say("result", even(next(), 0));
    return 0;
}

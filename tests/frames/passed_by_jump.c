// What the new code needs was passed on to a call that went on by a jump: the frame further in was given something else.
// rule: 3.43
// kind: counterexample
// good: either
// point: 1
// input: 9
#include "frames.h"

static long odd(long n, long sum);

static NOINLINE long between(long n, long sum) { return odd(n, sum + 5); }

static NOINLINE long even(long n, long sum) {
    if (n <= 0) {
        point();
        return sum;
    }
    long result = between(n - 1, sum + n);
#if NEW
    say("even", n);
#endif
    return result + 1;
}

static NOINLINE long odd(long n, long sum) {
    if (n <= 0) {
        point();
        return -sum;
    }
    return even(n - 1, sum * 2) + sum;
}

int main(void) {
    say("result", even(next(), 0));
    return 0;
}

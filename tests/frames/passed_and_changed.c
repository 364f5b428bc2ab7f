// What the new code needs was passed on to a call, as a term of a sum, and what was called has changed it since.
// rule: 3.43
// kind: counterexample
// good: either
// point: 1
// input: 9
#include "frames.h"

static long odd(long n, long sum);

static NOINLINE long even(long n, long sum) {
    if (n <= 0) {
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
    sum = sum * 3 + 1;
    if (n <= 0) {
        point();
        return -sum;
    }
    return even(n - 1, sum) + sum;
}

int main(void) {
    say("result", even(next(), 0));
    return 0;
}

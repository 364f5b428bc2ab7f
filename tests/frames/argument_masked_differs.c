// The call under way gets another expression, which comes to another number here.
// rule: 3.36
// kind: counterexample
// good: refused
// point: 1
// input: 21
#include "frames.h"

static NOINLINE long inner(long n) {
    point();
    return n * 2;
}

static NOINLINE long work(long n) {
#if NEW
    long result = inner(n & 15);
#else
    long result = inner(n);
#endif
    say("n", n);
    return result + n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

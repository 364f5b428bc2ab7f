// Two variables that differ in the old function are one in the new one.
// rule: 3.4
// kind: counterexample
// good: either
// point: 1
// input: 6
#include "frames.h"

static NOINLINE long work(long n) {
    long a = n * 5;
#if NEW
    long b = a;
#else
    long b = a + 1;
#endif
    point();
    say("a", a);
    say("b", b);
    return a + b;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

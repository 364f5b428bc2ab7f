// Two variables that are one in the old function differ in the new one.
// rule: 3.3(a)
// kind: counterexample
// good: either
// point: 1
// input: 6
#include "frames.h"

static NOINLINE long work(long n) {
    long a = n * 5;
#if NEW
    long b = a + 1;
#else
    long b = a;
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

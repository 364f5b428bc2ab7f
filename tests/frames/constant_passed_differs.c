// As constant_clone, but it is the other call that is under way: what the compiler built into the new function is not what it was given.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 2
// input: 12 1
#include "frames.h"

static NOINLINE long work(long n, long scale) {
    point();
#if NEW
    say("new", n + scale);
#endif
    return n * scale + 1;
}

int main(void) {
    long n = next();
    long result = work(n, 3);
#if !NEW
    if (next())
        result += work(n, 4);
#else
    if (next())
        result += work(n + 1, 3);
#endif
    say("result", result);
    return 0;
}

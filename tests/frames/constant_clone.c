// In the new program every caller passes the same number, so that the compiler builds it into the function.
// rule: 3.5
// good: right
// point: 1
// input: 12 0
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
#endif
    say("result", result);
    return 0;
}

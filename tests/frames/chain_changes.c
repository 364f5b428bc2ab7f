// Every function of a chain of calls changes, each with its own locals.
// rule: 3.3
// good: right
// point: 1
// input: 4
#include "frames.h"

static NOINLINE long third(long n, const long *outer) {
    long own = n * 5 + outer[0];
    point();
#if NEW
    say("third", own);
#endif
    return own + outer[1];
}

static NOINLINE long second(long n, const long *outer) {
    long own = n * 7;
    long result = third(n + 1, outer);
#if NEW
    say("second", own);
#endif
    return own - result;
}

static NOINLINE long first(long n) {
    long own[3] = {n, n * 2, n * 3};
    long result = second(n + 1, own);
#if NEW
    say("first", own[2]);
#endif
    return own[2] + result;
}

int main(void) {
    say("result", first(next()));
    return 0;
}

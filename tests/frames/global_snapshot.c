// The new code remembers a global from before the call, and something has changed it since.
// rule: 3.4
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

long counter;

static NOINLINE void wait_and_count(void) {
    counter += 7;
    point();
    counter += 1;
}

static NOINLINE long work(void) {
#if NEW
    long before = counter;
    wait_and_count();
    return counter - before;
#else
    wait_and_count();
    return counter;
#endif
}

int main(void) {
    counter = next();
    say("result", work());
    return 0;
}

// The new code stores before the call what it reads after it, the old one stores after it.
// rule: 3.7
// kind: counterexample
// good: refused
// point: 1
// input: 5
#include "frames.h"

static long ready;

static NOINLINE long is_ready(void) { return ready; }

static NOINLINE long work(long n) {
#if NEW
    ready = n;
    point();
#else
    point();
    ready = n;
#endif
    return is_ready() + 1;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

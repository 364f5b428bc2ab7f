// The changed function went on by a jump: no frame of it is left, and its caller waits for its result.
// rule: 3
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long last(long n) {
    point();
    return n * 2;
}

static NOINLINE long work(long n) {
#if NEW
    return last(n + 1);
#else
    return last(n + 3);
#endif
}

int main(void) {
    long n = next();
    long result = work(n);
    say("result", result + n);
    return 0;
}

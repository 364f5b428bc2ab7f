// The function that waits jumps to itself over another one: the call that is seen on the stack gave the arguments of its first round.
// rule: 3.4
// kind: counterexample
// good: either
// point: 3
// input: 5
#include "frames.h"

NOINLINE long relay(long n, long left);

NOINLINE long work(long n, long left) {
    point();
#if NEW
    say("n", n);
#endif
    if (left == 0)
        return 3;
    return relay(left * 100, left);
}

NOINLINE long relay(long n, long left) {
    say("left", left);
    return work(n + 1, left - 1);
}

int main(void) {
    long n = next();
    long result = work(n, 3);
    say("result", result + n);
    return 0;
}

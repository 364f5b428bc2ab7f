// As recursion_by_loop, further on: a frame stands for two, and the new code has one for each.
// rule: 3.9
// kind: counterexample
// good: either
// point: 3
// input: 12
#include "frames.h"

long left;
static long bottoms;

NOINLINE long fibonacci(int n) {
    if (n < 2) {
        if (bottoms++ < 4)
            point();
        return n;
    }
    long below = fibonacci(n - 1);
    long sum = below + fibonacci(n - 2);
#if NEW
    left++;
#endif
    return sum;
}

int main(void) {
    int depth = (int)next();
    say("result", fibonacci(depth));
    say("depth", depth);
    return 0;
}

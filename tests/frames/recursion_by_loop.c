// A recursion that a compiler makes half a loop of: a frame may stand for several. At its first bottom each stands for one.
// rule: 3.9
// good: either
// point: 1
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

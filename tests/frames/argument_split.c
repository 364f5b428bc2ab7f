// The new function uses one member of what its argument points to, which the compiler then passes by value (.isra).
// rule: 3.1, 3.5
// good: either
// point: 1
// input: 3 4
#include "frames.h"

struct pair {
    long first, second;
};

static NOINLINE long work(const struct pair *pair, long n) {
    long first = pair->first;
    point();
#if NEW
    return first * n + 1;
#else
    return first * n + pair->second;
#endif
}

int main(void) {
    struct pair pair = {next(), next()};
    say("result", work(&pair, 5));
    return 0;
}

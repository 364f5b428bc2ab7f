// A piece of a loop moves into a helper that the compiler inlines, with one more case that counts in its sum.
// rule: 3.3
// kind: release
// good: refused
// point: 2
// input: 4 3 8 5 1
#include "frames.h"

#if NEW
static inline long scaled(long value) {
    if (value > 6)
        return value * 3;
    return value * 2;
}
#else
#define scaled(value) ((value) * 2)
#endif

NOINLINE long gather(long count, long first) {
    long sum = first;
    for (long i = 0; i < count; i++) {
        point();
        long value = next();
        sum += scaled(value);
    }
    return sum;
}

int main(void) {
    long count = next();
    say("sum", gather(count, 100));
    return 0;
}

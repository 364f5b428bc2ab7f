// The limit of a loop that waits is another number.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 1 2 3 4 5 6 7 8 9
#include "frames.h"

#define LIMIT (NEW ? 7 : 5)

NOINLINE long collect(long *values) {
    long count = 0;
    while (count < LIMIT) {
        point();
        long value = next();
        if (value == 0)
            break;
        values[count++] = value;
    }
    return count;
}

int main(void) {
    static long values[16];
    long count = collect(values), sum = 0;
    for (long i = 0; i < count; i++)
        sum += values[i];
    say("count", count);
    say("sum", sum);
    return 0;
}

// A variable-length array in a changed frame.
// rule: 3.8
// good: either
// point: 1
// input: 6
#include "frames.h"

static NOINLINE long work(long count) {
    long values[count];
    memset(values, 0, sizeof values);
    for (long i = 0; i < count; i++)
        values[i] = i * 3;
    point();
    long total = 0;
    for (long i = 0; i < count; i++)
        total = total * 2 + values[i];
#if NEW
    say("size", (long)sizeof values);
#endif
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

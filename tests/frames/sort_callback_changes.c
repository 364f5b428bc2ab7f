// The C library calls back in the middle of qsort; what it calls changes.
// rule: 3
// good: right
// point: 3
// input: 5
#include "frames.h"

static NOINLINE int compare(const void *left, const void *right) {
    long a = *(const long *)left, b = *(const long *)right;
    point();
#if NEW
    if ((a ^ b) == 1234)
        say("never", a);
#endif
    return a < b ? -1 : a > b;
}

static NOINLINE long work(long n) {
    long values[5] = {n, 9, 2, 7, 4};
    qsort(values, 5, sizeof values[0], compare);
    long total = 0;
    for (int i = 0; i < 5; i++)
        total = total * 10 + values[i];
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

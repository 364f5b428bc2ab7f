// One macro holds several calls, and the new one holds one more in front: the k-th of the old code is not the k-th of the new.
// rule: 3.22
// kind: counterexample
// good: either
// point: 2
// input: 5 6 7 8

#include "frames.h"

#if NEW
#define READ_ALL() (extra = next(), point(), first = next(), point(), second = next())
#else
#define READ_ALL() (first = next(), point(), second = next(), point())
#endif

static NOINLINE long work(void) {
    long extra = 0, first, second;
    READ_ALL();
    say("first", first);
    say("second", second);
    return extra;
}

int main(void) {
    say("result", work());
    return 0;
}

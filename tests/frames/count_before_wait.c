// A count moves from behind a wait to before it, and some rounds pass the wait by: what earlier rounds counted is not what this one lacks.
// rule: 3.28
// kind: counterexample
// good: refused
// point: 2
// input: 5 2 1 4 3 6
#include "frames.h"

static long total;

NOINLINE void work(long n) {
    for (long i = 0; i < n; i++) {
        long value = next();
#if NEW
        total += value;
        if (value % 2 == 0)
            point();
#else
        if (value % 2 == 0)
            point();
        total += value;
#endif
        say("total", total);
    }
}

int main(void) {
    work(next());
    return 0;
}

// As global_snapshot_same, but what the loop calls writes the global through a pointer that somebody made before.
// rule: 3.41
// kind: counterexample
// good: refused
// point: 2
// input: 5 3
#include "frames.h"

static long limit;
static long *where;

static NOINLINE void wait_and_write(void) {
    point();
    *where += 1;
}

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long bound = limit;
#endif
    for (long i = 0; i < rounds; i++) {
        wait_and_write();
#if NEW
        total += bound;
#else
        total += limit;
#endif
    }
    return total;
}

int main(void) {
    limit = next();
    where = &limit;
    say("result", work(next()));
    return 0;
}

// As global_snapshot_same, but a library calls back between, and what it calls writes the global.
// rule: 3.41
// kind: counterexample
// good: refused
// point: 2
// input: 5 3
#include "frames.h"

static long limit;

static NOINLINE int compare(const void *left, const void *right) {
    limit += 1;
    return *(const long *)left < *(const long *)right ? -1 : 1;
}

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    long bound = limit;
#endif
    for (long i = 0; i < rounds; i++) {
        long both[2] = {i + 3, i + 1};
        qsort(both, 2, sizeof both[0], compare);
        point();
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
    say("result", work(next()));
    return 0;
}

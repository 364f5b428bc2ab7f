// Two calls on one line are no copies of one: behind the first another thing is done than behind the second.
// rule: 3.30
// kind: counterexample
// good: refused
// point: 4
// input: 3 5 6 7
#include "frames.h"

static long total;

#if NEW
#define STEP(value) do { point(); total += value; point(); say("total", total); } while (0)
#else
#define STEP(value) do { point(); point(); say("total", total); } while (0)
#endif

NOINLINE void work(long n) {
    for (long i = 0; i < n; i++) {
        long value = next();
        STEP(value);
    }
}

int main(void) {
    work(next());
    return 0;
}

// The same loop on both sides, but the compiler's own pointers and counters differ with what is done in it.
// rule: 3.3(d)
// good: either
// point: 3
// input: 6
#include "frames.h"

struct row {
    long key;
    int weight, spare;
};

static struct row rows[8];

static NOINLINE long work(long count) {
    long total = 0;
    for (long i = 0; i < count; i++) {
        point();
        total += rows[i].key * 5;
#if NEW
        total -= rows[i].weight * i;
#endif
    }
    return total;
}

int main(void) {
    long count = next();
    for (int i = 0; i < 8; i++)
        rows[i] = (struct row){i * 11, i * 2, 0};
    say("result", work(count));
    return 0;
}

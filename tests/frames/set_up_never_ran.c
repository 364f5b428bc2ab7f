// The new code sets a table up before its loop and divides by its size in it; in the old process that never ran.
// rule: 3.7
// kind: counterexample
// good: refused
// point: 2
// input: 3 40 41 42
#include "frames.h"

#if NEW
static long table_size;
static long table[16];
static NOINLINE void set_up(void) {
    table_size = 16;
    memset(table, 0, sizeof table);
}
#endif

static NOINLINE long work(long rounds) {
    long total = 0;
#if NEW
    set_up();
#endif
    for (long i = 0; i < rounds; i++) {
        point();
        long value = next();
#if NEW
        table[value % table_size] += value;
        total += table[value % table_size];
#else
        total += value;
#endif
    }
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

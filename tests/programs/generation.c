/* A program that defines `dsu_generation` finds in it how many times it has been updated; versions without it lose no count. */
#include "check.h"

static volatile int waits, began_as;

#if VERSION >= 2
int dsu_generation;
#endif

SEPARATE static void check_generation(void) {
#if VERSION >= 2
    if (began_as == VERSION) {
        expect_true("an even number of updates", dsu_generation % 2 == 0);
        return;
    }
    expect_true("as many updates as waits at least", dsu_generation >= waits);
    expect_true("an odd number of updates", dsu_generation % 2 == 1);
#endif
}

int main(void) {
    began_as = version();
    for (waits = 1; waits <= 3; waits++) {
        update_here();
        check_generation();
    }
    return finish();
}

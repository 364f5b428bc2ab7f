/* What variables of the new version take: the new initial value, the old one's, a constant, an expression, another name. */
#include "data.h"

#if VERSION < 2
static int limit = 10;
static int kept = 20;
static int budget = 30;
static char mode[8] = "old";
static long counted = 40;
#else
static int limit = 11;
static int kept = 21;
static long budget_cents = 3100;
static char mode[16] = "new";
static unsigned long counter = 41;
static volatile int epoch = 6; /* the spec says 5 */
static volatile int untouched = 7;
#endif

SEPARATE static void make(void) {
    made_by = VERSION;
    limit++;
    kept++;
#if VERSION < 2
    budget = 33;
    strcpy(mode, "slow");
    counted = 44;
#else
    budget_cents = 3300;
    strcpy(mode, "slow");
    counter = 44;
#endif
}

SEPARATE static void check(void) {
#if VERSION < 2
    /* There and back it took the initial value twice. */
    expect_true("limit", limit == 10 || (limit == 11 && !IS_FOREIGN));
    expect("kept", IS_FOREIGN ? 22 : 21, kept);
    expect("budget", 33, budget);
    expect_text("mode", "slow", mode);
    expect("counted", 44, counted);
#else
    expect("limit", IS_FOREIGN ? 11 : 12, limit);
    expect("kept", IS_FOREIGN ? 21 : 22, kept);
    expect("budget", 3300, budget_cents);
    expect_text("mode", "slow", mode);
    expect("counter", 44, (long long)counter);
    expect("epoch", IS_FOREIGN ? 5 : 6, epoch);
    expect("untouched", 7, untouched);
#endif
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A pointer to the end of an array, which is also the start of the next variable: it must stay the end, or be refused. */
#include "check.h"

/* One section for these keeps them side by side in both versions, in an order that changes. */
#define SIDE_BY_SIDE __attribute__((section("side_by_side"), aligned(8), no_reorder))

SIDE_BY_SIDE int numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
#if VERSION >= 2
SIDE_BY_SIDE long inserted[5] = {-1, -1, -1, -1, -1};
#endif
SIDE_BY_SIDE int next_variable = 1000;
static int *position, *end;

SEPARATE static void set(int count) {
    position = numbers;
    end = numbers + count;
}

SEPARATE static int sum(void) {
    int total = 0;
    for (int *p = position; p < end; p++)
        total += *p;
    return total;
}

int main(void) {
    set(8);
    expect("sum before", 36, sum());
    update_here();
    expect("numbers to the end", 8, end - position);
    expect("sum", 36, sum());
    expect("next variable", 1000, next_variable);
    return finish();
}

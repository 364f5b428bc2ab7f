/* A pointer to the first row of a table, which is also the end of the table before: where the rows are of two types, the pointer's type
 * tells; where they are alike (ALIKE), nothing does, and the update is refused with both names. */
#include "check.h"

/* One section for these keeps them side by side in both versions. */
#define SIDE_BY_SIDE __attribute__((section("side_by_side"), aligned(8), no_reorder))

struct fruit {
    const char *name;
    long cost;
};
#ifdef ALIKE
#define vegetable fruit
#else
struct vegetable {
    long cost;
    const char *name;
};
#endif
SIDE_BY_SIDE struct fruit fruits[] = {
    {.name = "apple", .cost = 10},
    {.name = "cherry", .cost = 20},
    {.name = "date", .cost = VERSION >= 2 ? 35 : 30},
};
#if VERSION >= 2
SIDE_BY_SIDE long inserted[5] = {-1, -1, -1, -1, -1};
#endif
SIDE_BY_SIDE struct vegetable vegetables[] = {
    {.name = "leek", .cost = 40},
    {.name = "onion", .cost = VERSION >= 2 ? 55 : 50},
};
static struct fruit *end;
static struct vegetable *first;

SEPARATE static void make(void) {
    end = fruits;
    while (strcmp(end->name, "date"))
        end++;
    end++;
    first = vegetables;
    while (strcmp(first->name, "leek"))
        first++;
}

SEPARATE static void check(void) {
    expect("fruits", 3, end - fruits);
    expect_text("last fruit", "date", end[-1].name);
    expect_pointer("first vegetable", vegetables, first);
    expect_text("its name", "leek", first->name);
    expect("its cost", 40, first->cost);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A pointer to a row of a table that gains a row before it: it must follow the row, or the update is refused. */
#include "check.h"

struct row {
    const char *name;
    int cost;
};
struct row rows[] = {
    {"apple", 10},
#if VERSION >= 2
    {"banana", 15},
#endif
    {"cherry", 20},
    {"date", 30},
};
static struct row *chosen;

SEPARATE static struct row *find(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

int main(void) {
    chosen = find("cherry");
    update_here();
    expect_text("name of the chosen row", "cherry", chosen->name);
    expect("cost of the chosen row", 20, chosen->cost);
    expect_pointer("chosen row", find("cherry"), chosen);
    return finish();
}

/* Constant tables that hold pointers are the new program's; pointers to them are followed. */
#include "check.h"

struct entry {
    const char *key;
    const int *value;
};
static const int one = 1, two = 2, three = 3;
static const struct entry entries[] = {{"one", &one}, {"two", &two}, {"three", &three}};
static const char *const names[] = {
    "alpha",
    "beta",
#if VERSION >= 2
    "gamma, of version two",
#else
    "gamma",
#endif
};
static const struct entry *current;
static const char *const *current_name;

SEPARATE static const char *expected_name(void) { return VERSION >= 2 ? "gamma, of version two" : "gamma"; }

int main(void) {
    const struct entry **heap = malloc(sizeof *heap);
    current = &entries[1];
    *heap = &entries[2];
    current_name = &names[2];
    update_here();
    expect_pointer("pointer in a global", &entries[1], current);
    expect_pointer("pointer in the heap", &entries[2], *heap);
    expect_text("key", "two", current->key);
    expect("value", 2, *current->value);
    expect_pointer("pointer within the table", &three, (*heap)->value);
    expect_text("name", expected_name(), *current_name);
    free(heap);
    return finish();
}

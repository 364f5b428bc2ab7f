/* Functions of the new version are called after the restore, in order, with numbers, enumerators, texts and addresses. */
#include "data.h"

enum level { LEVEL_LOW = 3, LEVEL_HIGH = 9 };
struct index {
    int entries;
#if VERSION >= 2
    int *sorted;
#endif
    struct index *next;
};
static struct index index_of_all;
static int calls;

#if VERSION >= 2
static char log_text[40];
static long order;
SEPARATE int rebuild_index(struct index *index, int more) {
    index->sorted = malloc(sizeof(int) * (size_t)(index->entries + more));
    index->sorted[0] = more;
    order = order * 10 + 1;
    return 0;
}
SEPARATE int set_level(enum level level, int offset, const char *text, int (*function)(struct index *, int), long wide, char last) {
    expect("enumerator", LEVEL_HIGH, level);
    expect("negative number", -1, offset);
    expect_true("function", function == rebuild_index);
    expect("wide number", 0x123456789abcdef0, wide);
    expect("character", 'x', last);
    snprintf(log_text, sizeof log_text, "%s", text);
    order = order * 10 + 2;
    return 0;
}
#endif
SEPARATE void count_call(void) { calls++; }

SEPARATE static void make(void) {
    made_by = VERSION;
    use_heap();
    index_of_all.entries = 3;
#if VERSION >= 2
    rebuild_index(&index_of_all, 16);
    set_level(LEVEL_HIGH, -1, "after the update", rebuild_index, 0x123456789abcdef0, 'x');
    count_call();
#endif
}

SEPARATE static void check(void) {
    expect("entries", 3, index_of_all.entries);
#if VERSION >= 2
    expect_true("the index was built", index_of_all.sorted != NULL);
    expect("argument", 16, index_of_all.sorted ? index_of_all.sorted[0] : 0);
    expect("order", 12, order);
    expect_text("text", "after the update", log_text);
    expect("calls", 1, calls);
    free(index_of_all.sorted);
#endif
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A range of elements by pointers to its start, to its last element, and to its end, as C++ vectors have them; the elements grow. */
#include "data.h"

enum { ITEMS = 10 };
struct item {
    long key;
#if VERSION >= 2
    char label[24];
#endif
    struct range *owner;
    int value;
};
struct range {
    struct item *begin, *last, *end, *limit;
};
static struct range ranges[3];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int r = 0; r < 3; r++) {
        struct item *items = calloc(ITEMS, sizeof *items);
        for (int i = 0; i < ITEMS; i++) {
            items[i].key = r * 100 + i;
            items[i].owner = &ranges[r];
            items[i].value = -i;
        }
        ranges[r] = (struct range){items, &items[ITEMS - 1], items + ITEMS, items + ITEMS};
    }
}

SEPARATE static void check(void) {
    for (int r = 0; r < 3; r++) {
        int i = 0;
        expect("elements", ITEMS, ranges[r].end - ranges[r].begin);
        expect_pointer("last", ranges[r].begin + ITEMS - 1, ranges[r].last);
        expect_pointer("limit", ranges[r].begin + ITEMS, ranges[r].limit);
        for (struct item *item = ranges[r].begin; item < ranges[r].end; item++, i++) {
            expect("key", r * 100 + i, item->key);
            expect_pointer("owner", &ranges[r], item->owner);
            expect("value", -i, item->value);
#if VERSION >= 2
            expect_text("label", "", item->label);
#endif
        }
        expect("elements that were walked", ITEMS, i);
        free(ranges[r].begin);
    }
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

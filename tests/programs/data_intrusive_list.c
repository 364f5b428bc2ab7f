/* Links embedded in the middle of objects that outgrow their blocks; an array has pointers to the objects themselves. */
#include "data.h"
#include <stddef.h>

enum { ITEMS = 10 };
struct link {
    struct link *previous, *next;
};
struct item {
    long number;
#if VERSION >= 2
    char name[40];
#endif
    struct link by_age;
    struct link by_size;
#if VERSION >= 2
    long size;
#endif
};
static struct item *all[ITEMS];
static struct link ages = {&ages, &ages}, sizes = {&sizes, &sizes};

SEPARATE static void add(struct link *list, struct link *link) {
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (long i = 0; i < ITEMS; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        all[i]->number = i;
        add(&ages, &all[i]->by_age);
        add(sizes.next, &all[i]->by_size);
    }
}

SEPARATE static void check(void) {
    int i = 0;
    for (struct link *link = ages.next; link != &ages; link = link->next, i++) {
        struct item *item = (struct item *)((char *)link - offsetof(struct item, by_age));
        expect_pointer("by age", all[i], item);
        expect("number", i, item->number);
        expect_pointer("back", link, link->next->previous);
    }
    expect("by age", ITEMS, i);
    i = 0;
    for (struct link *link = sizes.previous; link != &sizes; link = link->previous, i++) {
        struct item *item = (struct item *)((char *)link - offsetof(struct item, by_size));
        expect_true("by size", item == all[item->number]);
#if VERSION >= 2
        expect("size", 0, item->size);
#endif
    }
    expect("by size", ITEMS, i);
    for (i = 0; i < ITEMS; i++)
        free(all[i]);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* Only links in the middle of objects lead to them, as in most lists of servers; heads are in a variable and in another object. */
#include "data.h"
#include <stddef.h>

enum { ITEMS = 12 };
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
    char *label;
};
struct shelf {
    int items;
    struct link sizes;
};
static struct link ages = {&ages, &ages};
static struct shelf *shelf;

SEPARATE static void add(struct link *list, struct link *link) {
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    shelf = calloc(1, sizeof *shelf);
    shelf->sizes.next = shelf->sizes.previous = &shelf->sizes;
    for (long i = 0; i < ITEMS; i++) {
        struct item *item = calloc(1, sizeof *item);
        item->number = i;
        item->label = malloc(20);
        sprintf(item->label, "item %ld", i);
        add(&ages, &item->by_age);
        /* Every other one is on the shelf. */
        if (i % 2) {
            add(shelf->sizes.next, &item->by_size);
            shelf->items++;
        }
    }
}

SEPARATE static void check(void) {
    char label[20];
    int i = 0;
    for (struct link *link = shelf->sizes.previous; link != &shelf->sizes; link = link->previous, i++) {
        struct item *item = (struct item *)((char *)link - offsetof(struct item, by_size));
        expect("on the shelf", 1, item->number % 2);
        expect_pointer("back", link, link->next->previous);
    }
    expect("items on the shelf", shelf->items, i);
    i = 0;
    for (struct link *link = ages.next, *next; link != &ages; link = next, i++) {
        struct item *item = (struct item *)((char *)link - offsetof(struct item, by_age));
        next = link->next;
        expect("number", i, item->number);
        expect_pointer("back", link, next->previous);
        sprintf(label, "item %d", i);
        expect_text("label", label, item->label);
#if VERSION >= 2
        expect_text("name", "", item->name);
#endif
        next->previous = &ages;
        free(item->label);
        free(item);
    }
    expect("by age", ITEMS, i);
    free(shelf);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A vector that grows by realloc, its unused room never written; elements grow, cursors elsewhere point into its middle. The spec says how
 * many elements there are; the new block has room for as many more as the old one had. */
#include "data.h"

enum { ITEMS = 20 };
struct item {
    int id;
    short kind;
#if VERSION >= 2
    long price;
#endif
    char code[6];
};
struct vector {
    struct item *items;
    size_t used, capacity;
};
struct cursor {
    struct item *at;
    short *kind;
    char *letter;
};
static struct vector vector;
static struct cursor cursors[3];

SEPARATE static void push(int id) {
    if (vector.used == vector.capacity) {
        size_t capacity = vector.capacity ? vector.capacity * 2 : 4;
        vector.items = realloc(vector.items, capacity * sizeof *vector.items);
        memset(vector.items + vector.used, 0xa5, (capacity - vector.used) * sizeof *vector.items);
        vector.capacity = capacity;
    }
    struct item *item = &vector.items[vector.used++];
    item->id = id;
    item->kind = (short)(id % 3);
#if VERSION >= 2
    item->price = id * 10;
#endif
    snprintf(item->code, sizeof item->code, "c%d", id);
}

SEPARATE static void point(int i, int index) {
    cursors[i] = (struct cursor){&vector.items[index], &vector.items[index].kind, &vector.items[index].code[1]};
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int id = 0; id < ITEMS; id++)
        push(id);
    for (int i = 0; i < 3; i++)
        point(i, i * 9);
}

SEPARATE static void check_cursors(void) {
    for (int i = 0; i < 3; i++) {
        expect_pointer("element", &vector.items[i * 9], cursors[i].at);
        expect_pointer("member of an element", &vector.items[i * 9].kind, cursors[i].kind);
        expect_pointer("character of an element", &vector.items[i * 9].code[1], cursors[i].letter);
    }
}

SEPARATE static void check(void) {
    char code[8];
    check_cursors();
    expect("elements", ITEMS, (long long)vector.used);
    expect_true("room", malloc_usable_size(vector.items) >= vector.capacity * sizeof *vector.items);
    for (int id = ITEMS; id < 5 * ITEMS; id++)
        push(id);
    for (int id = 0; id < 5 * ITEMS; id++) {
        struct item *item = &vector.items[id];
        expect("id", id, item->id);
        expect("kind", id % 3, item->kind);
#if VERSION >= 2
        expect("price", IS_FOREIGN && id < ITEMS ? id + 1 : id * 10, item->price);
#endif
        snprintf(code, sizeof code, "c%d", id);
        expect_text("code", code, item->code);
    }
    free(vector.items);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

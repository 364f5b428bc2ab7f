/* A `void *` that always leads to one type, in a structure, in a global, and in an array of them; the spec says which. */
#include "data.h"

enum { THINGS = 10 };
struct thing {
    long number;
#if VERSION >= 2
    long more[6];
#endif
    void *peer;
};
struct box {
    void *content;
    struct box *next;
};
static struct box *boxes;
static void *first_thing;
static void *all_things[THINGS];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (long i = THINGS - 1; i >= 0; i--) {
        struct thing *thing = calloc(1, sizeof *thing);
        struct box *box = malloc(sizeof *box);
        thing->number = i;
        *box = (struct box){thing, boxes};
        boxes = box;
        all_things[i] = thing;
        thing->peer = i + 1 < THINGS ? all_things[i + 1] : NULL;
    }
    first_thing = all_things[0];
}

SEPARATE static void check(void) {
    long i = 0;
    expect_pointer("first", all_things[0], first_thing);
    for (struct box *box = boxes, *next; box; box = next, i++) {
        struct thing *thing = box->content;
        next = box->next;
        expect_pointer("content", all_things[i], thing);
        expect("number", i, thing->number);
        expect_pointer("peer", i + 1 < THINGS ? all_things[i + 1] : NULL, thing->peer);
#if VERSION >= 2
        expect("more", 0, thing->more[0] | thing->more[5]);
#endif
        free(thing);
        free(box);
    }
    expect("things", THINGS, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

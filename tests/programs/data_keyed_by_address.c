/* A hash set keyed by the addresses of objects that move: the spec names the function that puts it in order after the restore. */
#include "data.h"

enum { OBJECTS = 40, PLACES = 128 };
struct object {
    int number;
#if VERSION >= 2
    char name[60];
#endif
};
struct set {
    struct object *places[PLACES];
    int used, rehashed;
};
static struct set set;
static struct object *objects[OBJECTS];

SEPARATE static unsigned place_of(const void *pointer) { return (unsigned)(((uintptr_t)pointer >> 4) * 2654435761u) % PLACES; }

SEPARATE static void set_add(struct set *to, struct object *object) {
    unsigned place = place_of(object);
    while (to->places[place])
        place = (place + 1) % PLACES;
    to->places[place] = object;
    to->used++;
}

SEPARATE static int set_has(struct object *object) {
    for (unsigned place = place_of(object); set.places[place]; place = (place + 1) % PLACES)
        if (set.places[place] == object)
            return 1;
    return 0;
}

/* The spec calls it. */
SEPARATE static long set_rehash(struct set *old) {
    struct set fresh = {.rehashed = old->rehashed + 1};
    for (int i = 0; i < PLACES; i++)
        if (old->places[i])
            set_add(&fresh, old->places[i]);
    *old = fresh;
    return 0;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = calloc(1, sizeof *objects[i]);
        objects[i]->number = i;
        set_add(&set, objects[i]);
    }
    if (set.rehashed)
        set_rehash(&set);
}

SEPARATE static void check(void) {
    expect("used", OBJECTS, set.used);
    expect_true("put in order", set.rehashed > 0 || !IS_FOREIGN);
    for (int i = 0; i < OBJECTS; i++) {
        expect("number", i, objects[i]->number);
        expect_true("the set has it", set_has(objects[i]));
#if VERSION >= 2
        expect_text("name", "", objects[i]->name);
#endif
        free(objects[i]);
    }
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

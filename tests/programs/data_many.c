/* 100,000 objects in a list and in an array of pointers outgrow their blocks. */
#include "data.h"

enum { OBJECTS = 100000 };
struct object {
    int number;
#if VERSION >= 2
    long stamp[3];
#endif
    struct object *next;
};
static struct object *objects;
static struct object **by_number;
static size_t before;

SEPARATE static void make(void) {
    made_by = VERSION;
    before = heap_in_use();
    by_number = malloc(OBJECTS * sizeof *by_number);
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = calloc(1, sizeof *object);
        object->number = i;
        object->next = objects;
        objects = object;
        by_number[i] = object;
    }
}

SEPARATE static void check(void) {
    int i = OBJECTS;
    for (struct object *object = objects, *next; object && !check_failures; object = next) {
        next = object->next;
        expect("number", --i, object->number);
        expect_pointer("by number", object, by_number[i]);
#if VERSION >= 2
        expect("stamp", 0, object->stamp[0] | object->stamp[2]);
        object->stamp[2] = -1;
#endif
        free(object);
    }
    expect("objects", 0, i);
    free(by_number);
    expect_true("no block is lost", heap_in_use() < before + 4096);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A block that a driver may replace by a larger one while the program waits: every pointer must follow, and the old block be free. */
#include "check.h"
#include <malloc.h>

struct item {
    long number;
    char text[16];
};

/* What the driver puts in its place. */
struct grown {
    long number;
    char text[16];
    struct grown *self;
    char more[64];
};

struct holder {
    struct item *item;
};

struct item *item;
struct holder *holder;

int main(void) {
    item = malloc(sizeof *item);
    holder = malloc(sizeof *holder);
    item->number = 7;
    strcpy(item->text, "small");
    holder->item = item;
    uintptr_t before = (uintptr_t)item;
    update_here();
    expect_true("both pointers", holder->item == item);
    if (item->number == 7) {
        expect_text("text", "small", item->text);
        expect_true("place", (uintptr_t)item == before);
    } else {
        struct grown *grown = (struct grown *)item;
        expect("number", 8, grown->number);
        expect_text("text", "large", grown->text);
        expect_true("pointer into itself", grown->self == grown);
        expect("last byte", 'z', grown->more[63]);
        expect_true("place", (uintptr_t)item != before);
        expect_true("room", malloc_usable_size(item) >= sizeof *grown);
        void *again = malloc(sizeof *item);
        expect_true("the old block was free", (uintptr_t)again == before);
        free(again);
    }
    free(item);
    free(holder);
    return finish();
}

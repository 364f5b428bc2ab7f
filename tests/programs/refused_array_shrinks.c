/* An array gets smaller while its last elements hold something. */
#include "data.h"

#if VERSION < 2
enum { SLOTS = 8 };
#else
enum { SLOTS = 4 };
#endif
struct table {
    int used;
    int slots[SLOTS];
    struct table *next;
};
static struct table *tables;

SEPARATE static void make(void) {
    for (int i = 0; i < 2; i++) {
        struct table *table = calloc(1, sizeof *table);
        table->used = SLOTS;
        for (int k = 0; k < SLOTS; k++)
            table->slots[k] = k + 1;
        table->next = tables;
        tables = table;
    }
}

SEPARATE static void check(void) {
    for (struct table *table = tables; table; table = table->next)
        for (int k = 0; k < SLOTS; k++)
            expect("slot", k + 1, table->slots[k]);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A flexible array at the end of a structure, its elements and its head grow; a field holds the number of elements. */
#include "data.h"

enum { ROWS = 8 };
struct cell {
    short value;
#if VERSION >= 2
    long weight;
#endif
    struct row *owner;
};
struct row {
    unsigned used;
#if VERSION >= 2
    char colour[9];
#endif
    struct row *next;
    struct cell cells[];
};
static struct row *rows;
static struct cell *last_cells[ROWS];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (unsigned i = 0; i < ROWS; i++) {
        struct row *row = calloc(1, sizeof *row + (i + 2) * sizeof(struct cell));
        row->used = i + 1; /* the last cell is spare */
        for (unsigned k = 0; k < row->used; k++)
            row->cells[k] = (struct cell){.value = (short)(i * 10 + k), .owner = row};
        last_cells[i] = &row->cells[i];
        row->next = rows;
        rows = row;
    }
}

SEPARATE static void check(void) {
    unsigned i = ROWS;
    for (struct row *row = rows, *next; row; row = next) {
        next = row->next;
        i--;
        expect("used", i + 1, row->used);
        expect_pointer("last cell", &row->cells[i], last_cells[i]);
        for (unsigned k = 0; k < row->used; k++) {
            expect("value", i * 10 + k, row->cells[k].value);
            expect_pointer("owner", row, row->cells[k].owner);
#if VERSION >= 2
            expect("weight", 0, row->cells[k].weight);
            row->cells[k].weight = -1;
#endif
        }
#if VERSION >= 2
        expect_text("colour", "", row->colour);
#endif
        free(row);
    }
    expect("rows", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

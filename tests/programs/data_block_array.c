/* An array of structures in one block, all of it in use: without a rule, elements are counted by the block's size. */
#include "data.h"

enum { CELLS = 25 };
struct cell {
    struct cell *other;
#if VERSION >= 2
    unsigned char shade[5];
#endif
    int value;
};
struct grid {
    int width;
    struct cell *cells;
};
static struct grid *grid;
static struct cell *centre;

SEPARATE static void make(void) {
    made_by = VERSION;
    grid = malloc(sizeof *grid);
    grid->width = 5;
    grid->cells = calloc(CELLS, sizeof *grid->cells);
    for (int i = 0; i < CELLS; i++) {
        grid->cells[i].value = i;
        grid->cells[i].other = &grid->cells[CELLS - 1 - i];
    }
    centre = &grid->cells[CELLS / 2];
}

SEPARATE static void check(void) {
    expect("width", 5, grid->width);
    expect_pointer("centre", &grid->cells[CELLS / 2], centre);
    for (int i = 0; i < CELLS; i++) {
        expect("value", i, grid->cells[i].value);
        expect_pointer("other", &grid->cells[CELLS - 1 - i], grid->cells[i].other);
#if VERSION >= 2
        expect("shade", 0, grid->cells[i].shade[0] + grid->cells[i].shade[4]);
#endif
    }
    grid->cells = realloc(grid->cells, 2 * CELLS * sizeof *grid->cells);
    expect("the last one", CELLS - 1, grid->cells[CELLS - 1].value);
    free(grid->cells);
    free(grid);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

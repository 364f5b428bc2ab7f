/* Arrays of globals, of structures and of pointers gain elements; arrays of arrays keep the place of each element. */
#include "data.h"

#if VERSION < 2
enum { ROWS = 2, COLUMNS = 3, SLOTS = 4, LIMITS = 3 };
typedef short cell;
#else
enum { ROWS = 3, COLUMNS = 5, SLOTS = 6, LIMITS = 5 };
typedef int cell;
#endif
struct board {
    cell cells[ROWS][COLUMNS];
    struct board *others[SLOTS];
    int marks[SLOTS];
};
static struct board *boards[2];
static cell grid[ROWS][COLUMNS];
static int limits[LIMITS] = {1, 2, 3};
static cell *corner;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int b = 0; b < 2; b++)
        boards[b] = calloc(1, sizeof *boards[b]);
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            grid[r][c] = boards[0]->cells[r][c] = (cell)(r * 10 + c);
    for (int i = 0; i < 4; i++) {
        boards[1]->others[i] = boards[i % 2];
        boards[1]->marks[i] = i + 1;
    }
    limits[1] = 22;
    corner = &grid[1][2];
}

SEPARATE static void check(void) {
    expect_pointer("corner", &grid[1][2], corner);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) {
            expect("grid", r < 2 && c < 3 ? r * 10 + c : 0, grid[r][c]);
            expect("cells", r < 2 && c < 3 ? r * 10 + c : 0, boards[0]->cells[r][c]);
        }
    for (int i = 0; i < SLOTS; i++) {
        expect_pointer("others", i < 4 ? boards[i % 2] : NULL, boards[1]->others[i]);
        expect("marks", i < 4 ? i + 1 : IS_FOREIGN ? -1 : 0, boards[1]->marks[i]);
    }
    expect("limits", 1 + 22 + 3, limits[0] + limits[1] + limits[2]);
    for (int b = 0; b < 2; b++)
        free(boards[b]);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

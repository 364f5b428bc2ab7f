/* Objects side by side in memory that the program maps itself become larger: there is no room. */
#include "data.h"
#include <sys/mman.h>

struct cell {
    int number;
#if VERSION >= 2
    int more[4];
#endif
    struct cell *next;
};
static struct cell *cells;

SEPARATE static void make(void) {
    struct cell *region = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 20; i++) {
        region[i] = (struct cell){.number = i, .next = cells};
        cells = &region[i];
    }
}

SEPARATE static void check(void) {
    int i = 20;
    for (struct cell *cell = cells; cell; cell = cell->next)
        expect("number", --i, cell->number);
    expect("cells", 0, i);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

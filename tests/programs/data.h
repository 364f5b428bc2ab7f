/* data.h: what the programs about data that changes its shape share.
 *
 * A program makes its data in a function marked SEPARATE, waits, and checks all of it in the version that runs then: every value, every
 * pointer, and that what it frees and allocates is a heap. The spec of the way there is specs/NAME.toml, of the way back
 * specs/NAME.back.toml, where one is needed. */
#ifndef DATA_H
#define DATA_H
#include "check.h"
#include <malloc.h>

/* The version that made the data. */
static volatile int made_by;

/* Whether another version made the data: fields that it did not have hold what the spec says. */
#define IS_FOREIGN (made_by != VERSION)

SEPARATE static void expect_double(const char *what, double expected, double found) {
    if (expected == found)
        return;
    check_failures++;
    say("FAIL: %s, expected %.17g, found %.17g\n", what, expected, found);
}

/* Bytes of the heap in use; blocks that a thread keeps for itself count. */
SEPARATE static size_t heap_in_use(void) {
    struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

/* Allocates, fills and frees blocks of many sizes: records of the heap that are damaged do not survive it. */
SEPARATE static void use_heap(void) {
    enum { BLOCKS = 600 };
    static void *blocks[BLOCKS];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            size_t size = (size_t)(i * 37 % 1500 + 1);
            blocks[i] = malloc(size);
            fill_pattern(blocks[i], size, (unsigned)i);
        }
        for (int i = 0; i < BLOCKS; i++) {
            expect_pattern("a block", blocks[i], (size_t)(i * 37 % 1500 + 1), (unsigned)i);
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    malloc_trim(0);
}
#endif

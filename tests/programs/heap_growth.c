/* The heap grows after the update: sbrk is contiguous, malloc takes from it and gives it back. */
#include "check.h"
#include <malloc.h>

int main(void) {
    char *before = malloc(100000);
    fill_pattern(before, 100000, 2);
    char *start = sbrk(0);
    update_here();
    expect_pointer("end of the heap", start, sbrk(0));
    expect_pointer("sbrk", start, sbrk(1 << 20));
    expect_pointer("sbrk again", start + (1 << 20), sbrk(0));
    memset(start, 'x', 1 << 20);
    expect_pointer("back", start + (1 << 20), sbrk(-(1 << 20)));
    expect_pattern("block from before", before, 100000, 2);
    before = realloc(before, 300000);
    expect_pattern("block after realloc", before, 100000, 2);
    char *blocks[40];
    for (int i = 0; i < 40; i++)
        memset(blocks[i] = malloc(64 * 1024), i, 64 * 1024);
    expect_true("the heap grew", (char *)sbrk(0) > start + (1 << 20));
    for (int i = 0; i < 40; i++) {
        expect("block", i, blocks[i][64 * 1024 - 1]);
        free(blocks[i]);
    }
    free(before);
    malloc_trim(0);
    expect_true("the heap shrank", (char *)sbrk(0) <= start + (1 << 20));
    return finish();
}

/* backtrace(3) walks from the new code through the new program's unwind tables to main and beyond. */
#include "check.h"
#include <execinfo.h>

static void *before[64], *after[64];
static int before_count, after_count;

SEPARATE static int collect(void **frames) { return backtrace(frames, 64) + 0 * version(); }
SEPARATE static int outer(void **frames, int depth) {
    int count = depth ? outer(frames, depth - 1) : collect(frames);
    return count + (depth < 0);
}

int main(void) {
    before_count = outer(before, 5);
    update_here();
    after_count = outer(after, 5);
    expect("number of frames", before_count, after_count);
    for (int i = 8; i < before_count && i < after_count; i++)
        expect_pointer("frame of the C library, or below main", i == before_count - 1 ? after[i] : before[i], after[i]);
    char **names = backtrace_symbols(after, after_count);
    expect_true("names", names != NULL);
    expect_true("first frame is in the program", names && strstr(names[0], "libc") == NULL);
    free(names);
    return finish();
}

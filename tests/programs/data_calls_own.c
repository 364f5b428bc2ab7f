/* What a function that is called after the restore may do: allocate, print, recurse deep, use its thread's variables, keep a text. */
#include "data.h"

static __thread int depth_of_thread;
static const char *kept_text;
static char *copies[40];
static long depth_reached;
static int printed;

SEPARATE static void keep(const char *text) { kept_text = text; }

SEPARATE static long descend(long steps) {
    volatile char room[256];
    room[0] = (char)steps;
    return steps ? 1 + descend(steps - 1) + (room[0] - (char)steps) : 0;
}

/* The spec calls it. */
SEPARATE void prepare(const char *text, long steps) {
    depth_reached = descend(steps);
    depth_of_thread += 5;
    keep(text);
    for (int i = 0; i < 40; i++) {
        copies[i] = malloc(strlen(text) + (size_t)i * 1000 + 32);
        printed += sprintf(copies[i], "%s, %d, %.2f", text, i, i / 4.0);
    }
    errno = 0;
    FILE *file = tmpfile();
    if (!file || fprintf(file, "%s\n", text) < 0 || fclose(file))
        depth_of_thread = -1;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    depth_of_thread = 1;
    if (VERSION >= 2)
        prepare("a text of the spec", 2000);
}

SEPARATE static void check(void) {
    if (VERSION < 2) {
        expect("depth of the thread", IS_FOREIGN || kept_text ? 6 : 1, depth_of_thread);
        if (kept_text)
            expect_text("kept", "a text of the spec", kept_text);
        return;
    }
    char line[64];
    expect("depth of the thread", 6, depth_of_thread);
    expect("depth", 2000, depth_reached);
    expect_text("kept", "a text of the spec", kept_text);
    for (int i = 0; i < 40; i++) {
        sprintf(line, "a text of the spec, %d, %.2f", i, i / 4.0);
        expect_text("copy", line, copies[i]);
        free(copies[i]);
    }
    expect_true("printed", printed > 40 * 20);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

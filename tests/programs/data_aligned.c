/* Objects from posix_memalign, of a type that has to be aligned, outgrow their blocks: refused, as malloc does not align that far. On the way back
 * they stay where they are. */
#include "data.h"

enum { LINES = 16 };
struct line {
    _Alignas(64) long words[4];
#if VERSION >= 2
    long more[8];
#endif
    struct line *next;
};
static struct line *lines;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < LINES; i++) {
        void *place = NULL;
        must_be_zero("posix_memalign", posix_memalign(&place, 64, sizeof(struct line)));
        struct line *line = place;
        memset(line, 0, sizeof *line);
        line->words[3] = i;
        line->next = lines;
        lines = line;
    }
}

SEPARATE static void check(void) {
    int i = LINES;
    for (struct line *line = lines, *next; line; line = next) {
        next = line->next;
        expect("word", --i, line->words[3]);
        expect("alignment", 0, (long long)((uintptr_t)line % 64));
#if VERSION >= 2
        expect("more", 0, line->more[7]);
#endif
        free(line);
    }
    expect("lines", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

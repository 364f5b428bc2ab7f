/* The heap points to a function that the new version does not have: refused. */
#include "check.h"

static int (*volatile chosen)(int);

#if VERSION == 1
SEPARATE static int only_in_one(int x) { return x + 1; }
SEPARATE static void choose(void) { chosen = only_in_one; }
#else
SEPARATE static int only_in_two(int x) { return x - 1; }
SEPARATE static void choose(void) { chosen = only_in_two; }
#endif

int main(void) {
    int (**in_heap)(int) = malloc(sizeof *in_heap);
    choose();
    *in_heap = chosen;
    chosen = NULL;
    int before = (*in_heap)(10);
    update_here();
    expect("call", before, (*in_heap)(10));
    free(in_heap);
    return finish();
}

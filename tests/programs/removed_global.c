/* The heap points to a variable that the new version does not have: refused. */
#include "check.h"

#if VERSION == 1
static int only_in_one = 5;
SEPARATE static int *address(void) { return &only_in_one; }
#else
static int only_in_two = 6;
SEPARATE static int *address(void) { return &only_in_two; }
#endif

int main(void) {
    int **in_heap = malloc(sizeof *in_heap);
    *in_heap = address();
    **in_heap += 10;
    int before = **in_heap;
    update_here();
    expect("value", before, **in_heap);
    free(in_heap);
    return finish();
}

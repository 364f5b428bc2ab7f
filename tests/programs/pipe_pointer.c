/* The bytes in a pipe hold the address of a variable: nothing can be rewritten there, so the update is refused. */
#include "check.h"

static int pointed_to = 5;

int main(void) {
    int ends[2], *pointer = &pointed_to;
    must("pipe", pipe(ends));
    expect("write", sizeof pointer, write(ends[1], &pointer, sizeof pointer));
    pointer = NULL;
    update_here();
    expect("read", sizeof pointer, read(ends[0], &pointer, sizeof pointer));
    expect_pointer("pointer", &pointed_to, pointer);
    return finish();
}

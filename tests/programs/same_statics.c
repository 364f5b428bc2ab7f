/* Statics of one name in two files and in two functions: none takes another's value. */
#include "check.h"

void other_set(int value);
int other_get(void);
int *other_address(void);

static int state = 1;
static char *name = "first";

SEPARATE static int *inner(void) {
    static int state = 3;
    return &state;
}

SEPARATE static int *second_inner(void) {
    static int state = 4;
    return &state;
}

int main(void) {
    state = 10;
    other_set(20);
    *inner() = 30;
    *second_inner() = 40;
    int *kept[4] = {&state, other_address(), inner(), second_inner()};
    update_here();
    expect("static of this file", 10, state);
    expect("static of the other file", 20, other_get());
    expect("static of a function", 30, *inner());
    expect("static of another function", 40, *second_inner());
    expect_pointer("pointer to this file's", &state, kept[0]);
    expect_pointer("pointer to the other file's", other_address(), kept[1]);
    expect_pointer("pointer to the function's", inner(), kept[2]);
    expect_pointer("pointer to the other function's", second_inner(), kept[3]);
    expect_text("literal of this file", "first", name);
    return finish();
}

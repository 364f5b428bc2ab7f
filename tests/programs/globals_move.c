/* Globals and statics that move, come and go: each keeps its own value. */
#include "check.h"

#if VERSION == 1
int dropped_first = 11;
static long dropped_static = 12;
#else
long new_first[5] = {1, 2, 3, 4, 5};
static char new_static[777] = "new";
#endif

int initialised = 100;
long zeroed;
static short small_static = 7;
static char text[64] = "from the initialiser";
static int *into_zeroed_array;
#if VERSION >= 2
double new_between = 2.5;
#endif
static int zeroed_array[100];
int *pointer_to_global = &initialised;
char *pointer_into_text = text + 5;

SEPARATE static int count(void) {
    static int calls;
    return ++calls;
}

SEPARATE static int other_count(void) {
    static int calls = 40;
    return ++calls;
}

SEPARATE static void prepare(void) {
#if VERSION == 1
    dropped_first++;
    dropped_static++;
#endif
    initialised = 101;
    zeroed = 1L << 40;
    small_static = -3;
    strcpy(text, "0123456789 from the program");
    for (int i = 0; i < 100; i++)
        zeroed_array[i] = i * i;
    into_zeroed_array = &zeroed_array[42];
    count();
    count();
    other_count();
}

SEPARATE static void check_new_ones(void) {
#if VERSION >= 2
    expect("new global", 5, new_first[4]);
    expect_text("new static", "new", new_static);
    expect_true("new global between", new_between == 2.5);
#endif
}

int main(void) {
    prepare();
    update_here();
    expect("initialised global", 101, initialised);
    expect("zeroed global", 1L << 40, zeroed);
    expect("static", -3, small_static);
    expect_text("static text", "0123456789 from the program", text);
    expect("pointer into an array", 42 * 42, *into_zeroed_array);
    expect_pointer("pointer into an array", &zeroed_array[42], into_zeroed_array);
    expect_pointer("pointer to a global", &initialised, pointer_to_global);
    expect_pointer("pointer into text", text + 5, pointer_into_text);
    expect("static of a function", 3, count());
    expect("static of another function", 42, other_count());
    check_new_ones();
    return finish();
}

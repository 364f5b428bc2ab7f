/* Two types become one. There is no way back: nothing says which of the two an object would be. */
#include "data.h"

#if VERSION < 2
struct circle {
    double size;
    struct circle *next;
};
struct square {
    struct square *next;
    char spare[20];
    int size;
};
static struct circle *circles;
static struct square *squares;
#else
struct figure {
    char origin[24];
    double size;
    struct figure *next;
};
static struct figure *circles, *squares;
#endif

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 1; i <= 3; i++) {
#if VERSION < 2
        struct circle *circle = malloc(sizeof *circle);
        *circle = (struct circle){i / 2.0, circles};
        struct square *square = malloc(sizeof *square);
        *square = (struct square){.size = i, .next = squares};
#else
        struct figure *circle = malloc(sizeof *circle);
        *circle = (struct figure){"made", i / 2.0, circles};
        struct figure *square = malloc(sizeof *square);
        *square = (struct figure){"made", i, squares};
#endif
        circles = circle;
        squares = square;
    }
}

SEPARATE static void check(void) {
    for (int i = 3; i >= 1; i--) {
#if VERSION < 2
        expect_double("size", i / 2.0, circles->size);
        expect("size", i, squares->size);
        struct circle *next_circle = circles->next;
        struct square *next_square = squares->next;
#else
        expect_text("origin", IS_FOREIGN ? "merged" : "made", circles->origin);
        expect_text("origin", IS_FOREIGN ? "merged" : "made", squares->origin);
        expect_double("size", i / 2.0, circles->size);
        expect_double("size", i, squares->size);
        struct figure *next_circle = circles->next, *next_square = squares->next;
#endif
        free(circles);
        free(squares);
        circles = next_circle;
        squares = next_square;
    }
    expect_true("the ends", !circles && !squares);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* An enumeration is renumbered, and a value of it has no name in either version. */
#include "data.h"

#if VERSION < 2
enum colour { RED, GREEN, BLUE };
#else
enum colour { RED = 1, GREEN, BLUE };
#endif
struct pixel {
    enum colour colour;
    struct pixel *next;
};
static struct pixel *pixels;

SEPARATE static void make(void) {
    for (int i = 0; i < 3; i++) {
        struct pixel *pixel = malloc(sizeof *pixel);
        *pixel = (struct pixel){i == 1 ? (enum colour)77 : GREEN, pixels};
        pixels = pixel;
    }
}

SEPARATE static void check(void) {
    expect("colour", GREEN, pixels->colour);
    expect("another", 77, pixels->next->colour);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

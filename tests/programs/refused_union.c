/* A union of which no rule says what is in use, one of its members a pointer to a type that changes. */
#include "data.h"

struct name {
    char text[16];
#if VERSION >= 2
    long length;
#endif
};
struct value {
    int tag;
    union {
        long number;
        struct name *name;
    } as;
};
static struct value *values[2];

SEPARATE static void make(void) {
    for (int i = 0; i < 2; i++) {
        values[i] = calloc(1, sizeof *values[i]);
        values[i]->tag = i;
    }
    values[0]->as.number = 5;
    values[1]->as.name = calloc(1, sizeof *values[1]->as.name);
    strcpy(values[1]->as.name->text, "named");
}

SEPARATE static void check(void) {
    expect("number", 5, values[0]->as.number);
    expect_text("name", "named", values[1]->as.name->text);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A union whose members change, one of them with a pointer; a tag beside it says which is in use. */
#include "data.h"

enum tag { TAG_NUMBER, TAG_TEXT, TAG_PAIR, TAG_EMPTY };
struct pair {
#if VERSION < 2
    struct value *left, *right;
#else
    struct value *right, *left;
    long weight;
#endif
};
struct value {
    enum tag tag;
    union {
#if VERSION < 2
        int number;
        char text[16];
#else
        double number;
        char text[32];
#endif
        struct pair pair;
    } as;
};
static struct value *values[4];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 4; i++) {
        values[i] = malloc(sizeof *values[i]);
        memset(values[i], 0, sizeof *values[i]);
        values[i]->tag = (enum tag)i;
    }
    values[0]->as.number = -12345;
    strcpy(values[1]->as.text, "fifteen letters");
    values[2]->as.pair.left = values[0];
    values[2]->as.pair.right = values[1];
}

SEPARATE static void check(void) {
    for (int i = 0; i < 4; i++)
        expect("tag", i, values[i]->tag);
    expect_double("number", -12345, values[0]->as.number);
    expect_text("text", "fifteen letters", values[1]->as.text);
    expect_pointer("left", values[0], values[2]->as.pair.left);
    expect_pointer("right", values[1], values[2]->as.pair.right);
#if VERSION >= 2
    expect("weight", IS_FOREIGN ? 9 : 0, values[2]->as.pair.weight);
#endif
    for (int i = 0; i < 4; i++)
        free(values[i]);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

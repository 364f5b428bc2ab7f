/* A structure that changes holds pointers to literals, also to one that the other version does not have. */
#include "data.h"

struct word {
    const char *text;
#if VERSION >= 2
    const char *language;
    size_t length;
    char spare[24];
#endif
    const char *kinds[2];
    struct word *next;
};
static struct word *words;

SEPARATE static const char *text_of(int i) {
    static const char *const texts[] = {"common to both", "and another"};
#if VERSION < 2
    return i < 2 ? texts[i] : "only in the old one";
#else
    return i < 2 ? texts[i] : "only in the new one";
#endif
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 3; i++) {
        struct word *word = calloc(1, sizeof *word);
        word->text = text_of(i);
        word->kinds[0] = "noun";
        word->kinds[1] = text_of(2) + 5;
        word->next = words;
#if VERSION >= 2
        word->language = "made by the second";
#endif
        words = word;
    }
}

SEPARATE static void check(void) {
    const char *own = made_by == 1 ? "only in the old one" : "only in the new one";
    int i = 3;
    for (struct word *word = words, *next; word; word = next) {
        next = word->next;
        i--;
        expect_text("text", i < 2 ? text_of(i) : own, word->text);
        expect_text("kind", "noun", word->kinds[0]);
        expect_text("middle of a literal", own + 5, word->kinds[1]);
#if VERSION >= 2
        if (IS_FOREIGN)
            expect_pointer("language", NULL, word->language);
        else
            expect_text("language", "made by the second", word->language);
#endif
        free(word);
    }
    expect("words", 0, i);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* String literals that the heap points to stay readable at their address over many updates. */
#include "check.h"

#define ROUNDS 6

struct note {
    const char *text;
    struct note *next;
};
static struct note *notes;

SEPARATE static const char *literal_of_this_version(void) {
#if VERSION >= 2
    return "a literal that only version two has";
#else
    return "a literal that only version one has";
#endif
}

SEPARATE static const char *common_literal(void) { return "a literal of both"; }

SEPARATE static void note(const char *text) {
    struct note *made = malloc(sizeof *made);
    made->text = text;
    made->next = notes;
    notes = made;
}

SEPARATE static int check_notes(void) {
    int count = 0;
    for (struct note *n = notes; n; n = n->next, count++) {
        int one = !strcmp(n->text, "a literal that only version one has");
        int two = !strcmp(n->text, "a literal that only version two has");
        int both = !strcmp(n->text, "a literal of both");
        if (one + two + both != 1)
            expect_text("a note", "one of three literals", n->text);
    }
    return count;
}

int main(void) {
    for (int round = 1; round <= ROUNDS; round++) {
        note(literal_of_this_version());
        note(common_literal());
        update_here();
        expect("number of notes", 2 * round, check_notes());
    }
    return finish();
}

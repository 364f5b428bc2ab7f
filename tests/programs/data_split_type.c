/* An object's field becomes a part of a new inner structure, and another one leaves it; old pointers to both follow. */
#include "data.h"

struct where {
    int line;
#if VERSION >= 2
    int column;
#endif
};
struct token {
#if VERSION < 2
    int kind;
    char text[10];
    struct where place;
    long offset;
#else
    struct where place;
    struct {
        long offset;
        int kind;
    } more;
    char text[20];
#endif
    struct token *next;
};
static struct token *tokens;
static int *last_kind, *last_line;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 5; i-- > 0;) {
        struct token *token = calloc(1, sizeof *token);
        strcpy(token->text, "token");
        token->place.line = i;
#if VERSION < 2
        token->kind = i * 2;
        token->offset = i * 1000;
        last_kind = &token->kind;
#else
        token->more.kind = i * 2;
        token->more.offset = i * 1000;
        last_kind = &token->more.kind;
#endif
        last_line = &token->place.line;
        token->next = tokens;
        tokens = token;
    }
}

SEPARATE static void check(void) {
    int i = 0;
    expect_pointer("last line", &tokens->place.line, last_line);
#if VERSION < 2
    expect_pointer("last kind", &tokens->kind, last_kind);
#else
    expect_pointer("last kind", &tokens->more.kind, last_kind);
#endif
    for (struct token *token = tokens, *next; token; token = next, i++) {
        next = token->next;
        expect_text("text", "token", token->text);
        expect("line", i, token->place.line);
#if VERSION < 2
        expect("kind", i * 2, token->kind);
        expect("offset", i * 1000, token->offset);
#else
        expect("kind", i * 2, token->more.kind);
        expect("offset", i * 1000, token->more.offset);
        expect("column", 0, token->place.column);
#endif
        free(token);
    }
    expect("tokens", 5, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

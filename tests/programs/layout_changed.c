/* A structure in use has another layout in the new version, whose new field its maker clears: objects are rewritten. */
#include "check.h"

struct account {
    int number;
#if VERSION >= 2
    long limit;
#endif
    char name[24];
    struct account *next;
};
static struct account *accounts;

SEPARATE static void open_account(int number, const char *name) {
    struct account *made = calloc(1, sizeof *made);
    made->number = number;
    strcpy(made->name, name);
    made->next = accounts;
    accounts = made;
}

SEPARATE static void check(void) {
    expect("second account", 2, accounts->number);
    expect_text("second name", "second", accounts->name);
    expect("first account", 1, accounts->next->number);
    expect_text("first name", "first", accounts->next->name);
#if VERSION >= 2
    expect("limit", 0, accounts->limit);
#endif
}

int main(void) {
    open_account(1, "first");
    open_account(2, "second");
    update_here();
    check();
    return finish();
}

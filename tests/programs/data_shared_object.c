/* One object that many point to, with a count of them, and from many kinds of places; it is moved once and all follow. */
#include "data.h"

enum { USERS = 50 };
struct shared {
    int references;
#if VERSION >= 2
    char reason[64];
#endif
    char text[20];
};
struct user {
    struct shared *shared;
    char *text;
};
static struct user *users[USERS];
static struct shared *global;
static char *text_of_global;
static struct shared **where;

SEPARATE static void make(void) {
    made_by = VERSION;
    global = calloc(1, sizeof *global);
    strcpy(global->text, "shared by many");
    text_of_global = global->text;
    for (int i = 0; i < USERS; i++) {
        users[i] = malloc(sizeof *users[i]);
        *users[i] = (struct user){global, &global->text[i % 20]};
        global->references++;
    }
    where = &users[7]->shared;
}

SEPARATE static void check(void) {
    expect("references", USERS, global->references);
    expect_text("text", "shared by many", global->text);
    expect_pointer("its text", global->text, text_of_global);
    expect_pointer("where it is held", &users[7]->shared, where);
#if VERSION >= 2
    expect_text("reason", "", global->reason);
#endif
    for (int i = 0; i < USERS; i++) {
        expect_pointer("shared", global, users[i]->shared);
        expect_pointer("text of a user", &global->text[i % 20], users[i]->text);
        free(users[i]);
    }
    free(global);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

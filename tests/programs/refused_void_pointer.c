/* A `void *` leads to a type that changes, and no rule says so. */
#include "data.h"

struct user {
    int id;
#if VERSION >= 2
    char shell[32];
#endif
    struct user *self;
};
struct session {
    void *data;
    struct session *next;
};
static struct session *sessions;

SEPARATE static void make(void) {
    for (int i = 0; i < 3; i++) {
        struct user *user = calloc(1, sizeof *user);
        struct session *session = malloc(sizeof *session);
        user->id = i;
        user->self = user;
        *session = (struct session){user, sessions};
        sessions = session;
    }
}

SEPARATE static void check(void) {
    int i = 3;
    for (struct session *session = sessions; session; session = session->next)
        expect("id", --i, ((struct user *)session->data)->id);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

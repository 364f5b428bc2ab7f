/* A structure on main's stack whose fields change their places; main itself only hands on its address. Blocks point into it. */
#include "data.h"

struct session {
#if VERSION < 2
    int user;
    unsigned char state;
    struct handle *handles;
    char name[16];
    long started;
#else
    int user;
    unsigned char state;
    char name[16];
    struct handle *handles;
    long started;
#endif
};
struct handle {
    struct session *session;
    char *name;
    int *user;
    struct handle *next;
};

SEPARATE static void make(struct session *session) {
    made_by = VERSION;
    memset(session, 0, sizeof *session);
    session->user = 1000;
    session->state = 200;
    session->started = 1L << 50;
    strcpy(session->name, "a session");
    for (int i = 0; i < 5; i++) {
        struct handle *handle = malloc(sizeof *handle);
        *handle = (struct handle){session, session->name + i, &session->user, session->handles};
        session->handles = handle;
    }
}

SEPARATE static void check(struct session *session) {
    int i = 5;
    expect("user", 1000, session->user);
    expect("state", 200, session->state);
    expect("started", 1L << 50, session->started);
    expect_text("name", "a session", session->name);
    for (struct handle *handle = session->handles, *next; handle; handle = next) {
        next = handle->next;
        i--;
        expect_pointer("session", session, handle->session);
        expect_pointer("within its name", session->name + i, handle->name);
        expect_pointer("its user", &session->user, handle->user);
        free(handle);
    }
    expect("handles", 0, i);
    use_heap();
}

int main(void) {
    struct session session;
    make(&session);
    update_here();
    check(&session);
    return finish();
}

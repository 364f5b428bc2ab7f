/* A `void *` that leads to one of several types by a tag; two of them outgrow their blocks, one is bytes. */
#include "data.h"

enum kind { KIND_USER = 1, KIND_GUEST = 2, KIND_RAW = 3 };
struct user {
    int id;
#if VERSION >= 2
    char shell[32];
#endif
    struct session *session;
};
struct guest {
#if VERSION >= 2
    double trust;
    long visits;
#endif
    char name[20];
};
struct session {
    enum kind kind;
    void *data;
    struct session *next;
};
static struct session *sessions;

SEPARATE static struct session *open_session(enum kind kind, void *data) {
    struct session *session = malloc(sizeof *session);
    *session = (struct session){kind, data, sessions};
    return sessions = session;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 6; i++) {
        struct user *user = calloc(1, sizeof *user);
        user->id = i;
        user->session = open_session(KIND_USER, user);
        struct guest *guest = calloc(1, sizeof *guest);
        snprintf(guest->name, sizeof guest->name, "guest %d", i);
        open_session(KIND_GUEST, guest);
        unsigned char *raw = malloc(24);
        fill_pattern(raw, 24, (unsigned)i);
        open_session(KIND_RAW, raw);
    }
}

SEPARATE static void check(void) {
    int count = 17;
    char name[20];
    for (struct session *session = sessions, *next; session; session = next, count--) {
        struct user *user = session->data;
        struct guest *guest = session->data;
        next = session->next;
        switch (session->kind) {
        case KIND_USER:
            expect("user", count / 3, user->id);
            expect_pointer("session of a user", session, user->session);
#if VERSION >= 2
            expect_text("shell", IS_FOREIGN ? "/bin/sh" : "", user->shell);
#endif
            break;
        case KIND_GUEST:
            snprintf(name, sizeof name, "guest %d", count / 3);
            expect_text("guest", name, guest->name);
#if VERSION >= 2
            expect_double("trust", IS_FOREIGN ? 0.5 : 0, guest->trust);
            expect("visits", 0, guest->visits);
#endif
            break;
        case KIND_RAW:
            expect_pattern("bytes", session->data, 24, (unsigned)count / 3);
            break;
        default:
            expect("kind", KIND_USER, session->kind);
        }
        free(session->data);
        free(session);
    }
    expect("sessions", -1, count);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

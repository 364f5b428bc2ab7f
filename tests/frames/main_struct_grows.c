// A struct on main's stack grows; it is pointed to from a global and from a deeper frame.
// rule: 3.3, 2.3
// good: either
// point: 1
// input: 5 6
#include "frames.h"

struct session {
    long id;
#if NEW
    long added;
#endif
    long limit;
    long name[4];
};

static struct session *current;

static NOINLINE long work(struct session *session) {
    long *name = session->name;
    point();
    return session->limit * 2 + name[1] + current->id;
}

int main(void) {
    struct session session;
    memset(&session, 0, sizeof session);
    session.id = next();
    session.limit = next();
    session.name[1] = 9;
    current = &session;
    long result = work(&session);
#if NEW
    result += session.added;
#endif
    say("result", result + session.id);
    return 0;
}

// A struct on the stack grows by a field that begins with another number on each of two ways.
// rule: 3.33
// kind: counterexample
// good: either
// point: 1
// input: 5 6
#include "frames.h"

struct session {
    long id;
#if NEW
    long kind;
#endif
};

static struct session *current;

static NOINLINE long work(struct session *session) {
    point();
    return session->id * 2 + current->id;
}

int main(void) {
    struct session session;
    session.id = next();
#if NEW
    session.kind = session.id > 4 ? 7 : 3;
#endif
    current = &session;
    long result = work(&session);
#if NEW
    result += session.kind;
#endif
    say("result", result);
    return 0;
}

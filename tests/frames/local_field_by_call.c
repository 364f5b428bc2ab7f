// A struct on the stack grows; all of it is filled by a function that is told its length.
// rule: 3.34
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

struct session {
    long id;
#if NEW
    long kind;
#endif
};

static NOINLINE void fill(void *bytes, size_t length) { memset(bytes, 1, length); }

static NOINLINE long work(struct session *session) {
    fill(session, sizeof *session);
    session->id = 4;
    point();
    return session->id * 2;
}

int main(void) {
    struct session session = {.id = next()};
    long result = work(&session);
#if NEW
    result += session.kind;
#endif
    say("result", result + session.id);
    return 0;
}

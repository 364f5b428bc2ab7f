// As main_struct_grows, but the new field starts with a number that no zero stands for.
// rule: 2.3
// kind: counterexample
// good: either
// point: 1
// input: 5
#include "frames.h"

struct session {
    long id;
#if NEW
    long added;
#endif
};

static struct session *current;

static NOINLINE long work(struct session *session) {
    point();
    return session->id * 2 + current->id;
}

int main(void) {
    struct session session = {.id = next()};
#if NEW
    session.added = -1;
#endif
    current = &session;
    long result = work(&session);
#if NEW
    result += session.added;
#endif
    say("result", result);
    return 0;
}

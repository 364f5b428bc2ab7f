// A session struct on the stack of main gains a field, which the session loop counts in.
// rule: 3.3, 2.3
// kind: release
// good: either
// point: 1
// input: 3 5 6 7
#include "frames.h"

struct session {
    long id, total;
#if NEW
    long largest;
#endif
};

NOINLINE void run(struct session *session, long rounds) {
    for (long i = 0; i < rounds; i++) {
        point();
        long value = next();
        session->total += value;
#if NEW
        if (value > session->largest)
            session->largest = value;
#endif
    }
}

int main(void) {
    struct session session = {.id = 4};
    long rounds = next();
    run(&session, rounds);
    say("id", session.id);
    say("total", session.total);
    return 0;
}

// As main_struct_grows, but a function that has returned already gives the new field its value.
// rule: 3.34
// kind: counterexample
// good: either
// point: 2
// input: 5 6 7
#include "frames.h"

struct session {
    long id;
    long total;
#if NEW
    long rounds;
#endif
};

static NOINLINE void count(struct session *session, long n) {
    session->total += n;
#if NEW
    session->rounds += 1;
#endif
}

static NOINLINE long work(struct session *session) {
    for (int i = 0; i < 3; i++) {
        count(session, next());
        point();
    }
    return session->total;
}

int main(void) {
    struct session session = {0};
    long result = work(&session);
#if NEW
    result += session.rounds * 1000;
#endif
    say("result", result + session.id);
    return 0;
}

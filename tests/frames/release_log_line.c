// A session loop gains a line in its log after each command.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 5 2 9 4 0
#include "frames.h"

struct session {
    long id, commands, bytes;
    bool is_open;
};

NOINLINE long serve(struct session *session) {
    long failures = 0;
    while (session->is_open) {
        point();
        long command = next();
        if (command == 0) {
            session->is_open = false;
            break;
        }
        session->commands++;
        session->bytes += command * 16;
        if (command > 8)
            failures++;
#if NEW
        say("command", command);
#endif
    }
    return failures;
}

int main(void) {
    static struct session session = {.id = 7, .is_open = true};
    long failures = serve(&session);
    say("failures", failures);
    say("commands", session.commands);
    say("bytes", session.bytes);
    return 0;
}

// The dispatcher of a main loop gains a command.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 1 4 3 7 5 5 2 1 0
#include "frames.h"

static long registers[4], errors;

int main(void) {
    long line = 0;
    for (;;) {
        point();
        long command = next();
        if (command == 0)
            break;
        line++;
        switch (command) {
        case 1:
            registers[0] += 5;
            break;
        case 2:
            registers[1] = registers[0];
            break;
        case 3:
            say("line", line);
            break;
#if NEW
        case 5:
            registers[2]++;
            break;
#endif
        default:
            errors++;
            say("bad command", command);
        }
    }
    say("lines", line);
    say("errors", errors);
    say("r0", registers[0]);
    say("r1", registers[1]);
    say("r2", registers[2]);
    return 0;
}

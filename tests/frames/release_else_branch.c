// A command loop gains a branch for what it ignored.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 1 5 2 6 9 9 1 1 0 0
#include "frames.h"

NOINLINE long commands(long *balance) {
    long count = 0;
    for (;;) {
        point();
        long command = next(), amount = next();
        if (command == 0)
            return count;
        if (command == 1)
            *balance += amount;
        else if (command == 2)
            *balance -= amount;
#if NEW
        else
            say("unknown", command);
#endif
        count++;
        say("balance", *balance);
    }
}

int main(void) {
    static long balance;
    say("count", commands(&balance));
    return 0;
}

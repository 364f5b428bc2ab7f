// A loop that tries again gives up earlier, and says so.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 9 9 9 9 9 9 9
#include "frames.h"

NOINLINE int fetch(long address, long timeout) {
    int tries = 0;
    do {
        point();
        long status = next();
        if (status == 0)
            return 1;
        tries++;
        say("again", address);
#if NEW
        if (tries == 3) {
            say("given up after", timeout * tries);
            return 0;
        }
#endif
    } while (tries < 5);
    say("timeout", timeout);
    return 0;
}

int main(void) {
    long address = 80, timeout = 30;
    for (long i = 0; i < 2; i++)
        say("fetched", fetch(address + i, timeout + i));
    return 0;
}

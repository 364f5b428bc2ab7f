// A signal handler waits; the function that the signal interrupted changes.
// rule: 3
// good: either
// point: 1
// input: 5
#include "frames.h"

#include <signal.h>

static volatile sig_atomic_t seen;

static void handler(int number) {
    seen = number;
    point();
}

static NOINLINE long work(long n) {
    long kept = n * 7;
    raise(SIGUSR1);
#if NEW
    say("seen", seen == SIGUSR1);
#endif
    return kept + n;
}

int main(void) {
    signal(SIGUSR1, handler);
    say("result", work(next()));
    return 0;
}

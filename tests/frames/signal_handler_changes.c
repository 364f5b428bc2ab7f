// A signal handler that changes waits.
// rule: 3
// good: either
// point: 1
// input: 5
#include "frames.h"

#include <signal.h>

static volatile sig_atomic_t seen;

static void handler(int number) {
    long twice = number * 2;
    point();
#if NEW
    say("twice", twice);
#endif
    seen = (int)twice;
}

static NOINLINE long work(long n) {
    raise(SIGUSR1);
    return seen + n;
}

int main(void) {
    signal(SIGUSR1, handler);
    say("result", work(next()));
    return 0;
}

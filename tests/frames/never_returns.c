// The call under way does not come back: nothing is read behind it.
// rule: 3.37
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE void serve(long n) {
    point();
    say("served", n * 3);
    exit(0);
}

static NOINLINE long work(long n) {
    long more = n * 7;
    if (n > 100) {
#if NEW
        say("more", more);
#endif
        return more + 1;
    }
    serve(n + 1);
    return more;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

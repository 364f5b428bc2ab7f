// A while loop becomes do-while: the test lies behind the call.
// rule: 3.5
// good: right
// point: 2
// input: 4
#include "frames.h"

static NOINLINE long work(long n) {
    long total = 0;
#if NEW
    do {
        point();
        total += n;
        n--;
    } while (n > 0);
#else
    while (n > 0) {
        point();
        total += n;
        n--;
    }
#endif
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// An unsigned int whose top bit is set becomes a long; its number stays what it was.
// rule: 3.3, 2
// good: right
// point: 1
// input: 4000000000
#include "frames.h"

#if NEW
typedef long number;
#else
typedef unsigned number;
#endif

static NOINLINE long work(number n) {
    point();
    return (long)(n / 3) + VERSION;
}

int main(void) {
    say("result", work((number)next()));
    return 0;
}

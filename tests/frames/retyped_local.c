// An int becomes a long, an unsigned short an int.
// rule: 3.3, 2
// good: right
// point: 2
// input: 3 -70000 65000
#include "frames.h"

#if NEW
typedef long total_type;
typedef int small_type;
#else
typedef int total_type;
typedef unsigned short small_type;
#endif

static NOINLINE long work(long rounds, total_type total, small_type small) {
    for (long i = 0; i < rounds; i++) {
        point();
        total += (total_type)i - small;
    }
    return total * 2L;
}

int main(void) {
    long rounds = next(), total = next(), small = next();
    say("result", work(rounds, (total_type)total, (small_type)small));
    return 0;
}

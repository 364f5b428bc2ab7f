// A function that is called behind the wait has one more parameter.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 3 14 15 92
#include "frames.h"

#if NEW
NOINLINE void report(const char *name, long value, int level) {
    if (level > 0)
        say("level", level);
    say(name, value);
}
#define REPORT(name, value, level) report(name, value, level)
#else
NOINLINE void report(const char *name, long value) { say(name, value); }
#define REPORT(name, value, level) report(name, value)
#endif

NOINLINE long poll_all(long count) {
    long sum = 0;
    for (long i = 0; i < count; i++) {
        point();
        long value = next();
        REPORT("value", value, 1);
        sum += value;
    }
    REPORT("sum", sum, 0);
    return sum;
}

int main(void) {
    long count = next();
    say("result", poll_all(count));
    return 0;
}

// What is done with each value moves into a helper that the compiler inlines, with one more message.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 4 3 8 5 1
#include "frames.h"

struct meter {
    long readings, peak;
};

#if NEW
static inline void note(struct meter *meter, long value, long at) {
    meter->readings++;
    if (value > meter->peak) {
        meter->peak = value;
        say("peak at", at);
    }
}
#endif

NOINLINE long sample(struct meter *meter, long count, long base) {
    long sum = 0;
    for (long i = 0; i < count; i++) {
        point();
        long value = next();
        sum += value;
#if NEW
        note(meter, value, base + i);
#else
        meter->readings++;
        if (value > meter->peak)
            meter->peak = value;
#endif
    }
    return sum;
}

int main(void) {
    static struct meter meter;
    long count = next();
    say("sum", sample(&meter, count, 50));
    say("peak", meter.peak);
    say("readings", meter.readings);
    return 0;
}

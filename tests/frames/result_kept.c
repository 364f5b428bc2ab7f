// A structure that a call gives is looked at twice more; the room for it has no name.
// rule: 3.40
// kind: release
// good: either
// point: 2
// input: 5
#include "frames.h"

struct report {
    long values[5];
};

static NOINLINE struct report make(long n) {
    struct report report = {{0}};
    for (int i = 0; i < 5; i++) {
        report.values[i] = n * i;
        point();
    }
    return report;
}

static NOINLINE long work(long n) {
    struct report report = make(n + 1);
#if NEW
    say("last", report.values[4]);
#endif
    return report.values[1] + report.values[3];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

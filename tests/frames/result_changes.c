// As result_kept, but the structure becomes another one.
// rule: 3.40
// kind: counterexample
// good: either
// point: 2
// input: 5
#include "frames.h"

struct report {
#if NEW
    long first;
#endif
    long values[5];
};

static NOINLINE struct report make(long n) {
    struct report report = {0};
    for (int i = 0; i < 5; i++) {
        report.values[i] = n * i;
        point();
    }
    return report;
}

static NOINLINE long work(long n) {
    struct report report = make(n + 1);
    return report.values[1] + report.values[3] + VERSION;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

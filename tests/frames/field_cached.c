// The new code keeps a field of an object in a register across the call; the old one loads it after.
// rule: 3.4
// kind: counterexample
// good: either
// point: 1
// input: 6
#include "frames.h"

struct config {
    long limit, other;
};

static NOINLINE long work(struct config *config, long n) {
#if NEW
    long limit = config->limit;
#endif
    point();
#if NEW
    return n < limit ? limit : n + config->other;
#else
    return n < config->limit ? n : config->limit;
#endif
}

int main(void) {
    static struct config config;
    config.limit = next();
    config.other = 1;
    say("result", work(&config, 4));
    return 0;
}

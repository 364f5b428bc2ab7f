// Settings in the frame of main gain two fields, which begin with numbers of their own; the loop that uses them is in another function.
// rule: 3.33, 3.34
// kind: release
// good: either
// point: 2
// input: 2 100 3 4 5 6
#include "frames.h"

struct settings {
    int depth;
#if NEW
    int retries;
#endif
    long limit;
    const char *name;
#if NEW
    long timeout;
#endif
};

static NOINLINE long serve(const struct settings *settings, long rounds) {
    long total = 0;
    for (long i = 0; i < rounds; i++) {
        point();
        total += next() * settings->depth + settings->limit;
    }
    return total;
}

int main(void) {
    struct settings settings = {.name = "plain"};
    settings.depth = (int)next();
    settings.limit = next();
#if NEW
    settings.retries = 3;
    settings.timeout = -1;
#endif
    long rounds = next();
    say("total", serve(&settings, rounds));
    say_text("name", settings.name);
#if NEW
    say("retries", settings.retries);
    say("timeout", settings.timeout);
#endif
    return 0;
}

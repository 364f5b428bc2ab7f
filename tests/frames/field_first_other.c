// Two fields change places, and a local that was read from the first one is read from the one that is first now.
// rule: 3.27
// kind: counterexample
// good: refused
// point: 1
// input: 11 22
#include "frames.h"

struct pair {
#if NEW
    int second, first;
#else
    int first, second;
#endif
};
static struct pair pair;

NOINLINE static void fill(void) {
    pair.first = (int)next();
    pair.second = (int)next();
}

NOINLINE static void work(void) {
#if NEW
    int kept = pair.second;
#else
    int kept = pair.first;
#endif
    point();
    say("kept", kept);
#if NEW
    say("new", 1);
#endif
}

int main(void) {
    fill();
    work();
    fill();
    return 0;
}

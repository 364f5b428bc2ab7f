// Two fields of a variable change places, and the function that reads one of them has the same code in both builds.
// rule: 3.32
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

NOINLINE static void fill(struct pair *pair) {
    pair->first = (int)next();
    pair->second = (int)next();
}

NOINLINE static void work(void) {
#if NEW
    int kept = pair.second;
#else
    int kept = pair.first;
#endif
    point();
    say("kept", kept);
}

int main(void) {
    fill(&pair);
    work();
    fill(&pair);
    return 0;
}

// The new code keeps the address of a field in a register across the call.
// rule: 3.3(d)
// good: right
// point: 2
// input: 4
#include "frames.h"

struct node {
    long id, pad[3], counts[4];
};

#if NEW
static NOINLINE long add(long *counts, long n) {
    counts[n & 3] += n;
    return counts[0] + counts[1];
}
#endif

static NOINLINE long work(struct node *node, long rounds) {
    long total = 0;
    for (long i = 0; i < rounds; i++) {
        point();
#if NEW
        total += add(node->counts, i);
        total += add(node->counts, i + 1);
#else
        total += node->id * i;
#endif
    }
    return total + node->id;
}

int main(void) {
    static struct node node;
    node.id = 0;
    say("result", work(&node, next()));
    return 0;
}

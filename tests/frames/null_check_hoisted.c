// The new code uses the pointer before and after the call; whether it is null is asked before.
// rule: 3.5
// good: right
// point: 1
// input: 6
#include "frames.h"

struct box {
    long size, used;
};

static NOINLINE long work(struct box *box) {
    long before = 1;
#if NEW
    if (!box)
        return -1;
    before = 2;
#endif
    point();
    if (box)
        return box->size * before + box->used;
    return before;
}

int main(void) {
    static struct box box;
    box.size = next();
    box.used = 2;
    say("result", work(box.size ? &box : NULL));
    return 0;
}

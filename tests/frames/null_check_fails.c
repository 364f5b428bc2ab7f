// The new code leaves before the call when the pointer is null, and it is: the new program is never at this point.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 1
// input: 0
#include "frames.h"

struct box {
    long size, used;
};

static NOINLINE long work(struct box *box) {
#if NEW
    if (!box)
        return -1;
    point();
    return box->size + box->used;
#else
    point();
    return box ? box->size : 7;
#endif
}

int main(void) {
    static struct box box;
    box.size = next();
    say("result", work(box.size ? &box : NULL));
    return 0;
}

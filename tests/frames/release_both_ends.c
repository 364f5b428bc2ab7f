// A copy loop between two ends reports in the middle; both ends and the limit are arguments.
// rule: 3.3
// kind: release
// good: right
// point: 3
// input: 6 1 2 3 4 5 6
#include "frames.h"

struct end {
    long position, bytes;
};

NOINLINE long copy(struct end *from, struct end *to, long limit) {
    long copied = 0;
    while (copied < limit) {
        point();
        long piece = next();
        if (piece == 0)
            break;
        from->position += piece;
        to->bytes += piece;
        copied += piece;
#if NEW
        if (copied >= limit / 2)
            say("half", from->position);
#endif
    }
    return copied;
}

int main(void) {
    static struct end from = {3, 0}, to;
    long limit = next() * 3;
    long copied = copy(&from, &to, limit);
    say("copied", copied);
    say("position", from.position);
    say("bytes", to.bytes);
    return 0;
}

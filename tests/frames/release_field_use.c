// A loop over a list sums something else: what it has summed before is not what the new one had.
// rule: 3.3
// kind: release
// good: refused
// point: 2
// input: 3
#include "frames.h"

struct peer {
    struct peer *next;
    long id, weight, seen;
};

NOINLINE long visit(struct peer *peers) {
    long total = 0;
    for (struct peer *peer = peers; peer; peer = peer->next) {
        point();
        peer->seen++;
#if NEW
        total += peer->id * peer->weight;
#else
        total += peer->id;
#endif
    }
    return total;
}

int main(void) {
    struct peer *peers = NULL;
    long count = next();
    for (long i = 0; i < count; i++) {
        struct peer *peer = calloc(1, sizeof *peer);
        peer->id = 0;
        peer->weight = i + 2;
        peer->next = peers;
        peers = peer;
    }
    say("total", visit(peers));
    for (struct peer *peer = peers; peer; peer = peer->next)
        say("seen", peer->seen);
    return 0;
}

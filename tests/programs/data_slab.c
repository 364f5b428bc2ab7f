/* Objects lie side by side in blocks of a pool, each made by itself: the spec names what makes new ones; the old places are kept. */
#include "data.h"

enum { PER_SLAB = 16, CONNS = 2 * PER_SLAB };
struct conn {
    int number;
    struct conn *next;
#if VERSION >= 2
    char peer[40];
#endif
};
struct pool {
    char *slab;
    int used, slabs;
};
static struct pool pool = {.used = PER_SLAB};
static struct conn *conns, *fifth, **last_next;

SEPARATE void *pool_get(size_t size) {
    if (pool.used == PER_SLAB) {
        pool.slab = calloc(PER_SLAB, size);
        pool.used = 0;
        pool.slabs++;
    }
    return pool.slab + (size_t)pool.used++ * size;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    last_next = &conns;
    for (int i = 0; i < CONNS; i++) {
        struct conn *conn = pool_get(sizeof *conn);
        conn->number = i;
        *last_next = conn;
        last_next = &conn->next;
        if (i == 5)
            fifth = conn;
    }
}

SEPARATE static void check(void) {
    struct conn *more = pool_get(sizeof *more);
    more->number = CONNS;
    *last_next = more;
    int i = 0;
    for (struct conn *conn = conns; conn; conn = conn->next, i++) {
        expect("number", i, conn->number);
#if VERSION >= 2
        expect_text("peer", "", conn->peer);
        memset(conn->peer, 'x', sizeof conn->peer - 1);
#endif
    }
    expect("conns", CONNS + 1, i);
    expect("fifth", 5, fifth->number);
    /* Each update makes two new ones. */
    expect_true("slabs", pool.slabs >= (IS_FOREIGN ? 5 : 3));
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

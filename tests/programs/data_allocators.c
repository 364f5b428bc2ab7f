/* Objects of a pool of the program's own outgrow their places: the spec names the functions that make and free them. */
#include "data.h"

enum { PLACES = 64 };
struct conn {
    int number;
#if VERSION >= 2
    char peer[44];
#endif
    struct conn *next;
};
static struct conn *conns;
static unsigned long pool_made, pool_freed;

SEPARATE void *pool_get(size_t size) {
    pool_made++;
    char *block = calloc(1, size + 16);
    memcpy(block, "pooled", 6);
    return block + 16;
}

SEPARATE void pool_put(void *object) {
    char *block = (char *)object - 16;
    if (memcmp(block, "pooled", 6)) {
        check_failures++;
        say("FAIL: pool_put, expected an object of the pool\n");
        return;
    }
    pool_freed++;
    free(block);
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 10; i++) {
        struct conn *conn = pool_get(sizeof *conn);
        conn->number = i;
        conn->next = conns;
        conns = conn;
    }
}

SEPARATE static void check(void) {
    int i = 10;
    for (struct conn *conn = conns, *next; conn; conn = next) {
        next = conn->next;
        expect("number", --i, conn->number);
#if VERSION >= 2
        expect_text("peer", "", conn->peer);
#endif
        pool_put(conn);
    }
    expect("conns", 0, i);
    expect("made and freed", (long long)pool_made, (long long)pool_freed);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

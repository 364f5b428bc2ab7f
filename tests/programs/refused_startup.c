/* What the new version's start-up code gives its value: a list that it makes, a table, a number. The update that tests/data_refusals.rs
   asks for without an answer is refused; with one, and a call of that code, it goes through. */
#include "data.h"

struct list {
    int length;
};

static struct server {
    int clients;
#if VERSION >= 2
    struct list *pending;
    int limit;
#endif
} server;

#if VERSION >= 2
static int *table;
static int *lazy; /* nobody stores to it but a zero */

SEPARATE void prepare(void) {
    server.pending = calloc(1, sizeof *server.pending);
    server.limit = getpid() > 0 ? 10 : 11;
    table = calloc(4, sizeof *table);
    lazy = NULL;
}
#endif

SEPARATE static void make(void) {
    made_by = VERSION;
    server.clients = 3 + made_by;
#if VERSION >= 2
    prepare();
#endif
}

SEPARATE static void check(void) {
    expect("clients", 3 + made_by, server.clients);
#if VERSION >= 2
    server.pending->length++;
    table[1]++;
    expect("length", 1, server.pending->length);
    expect("table", 1, table[1]);
    expect("limit", 10, server.limit);
    expect_true("lazy", !lazy);
#endif
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

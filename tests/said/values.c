/* Locals become a field of an object that grows, a bit-field, a variable, and a thread-local one; a variable becomes a local; an array is
 * handed over; and what the new code has set up by then is called. */
#include "data.h"

struct conn {
    long id;
    unsigned flags : 3, state : 5;
    char peer[24];
#if VERSION >= 2
    long retries;
#endif
};
static struct conn *conn;
static _Thread_local long calls = 1;

SEPARATE static void fill(long *numbers, long n) {
    for (int i = 0; i < 4; i++)
        numbers[i] = n + i;
    calls++;
}
SEPARATE static void touch(void *object) { __asm__ volatile("" : : "r"(object) : "memory"); }

#if VERSION == 1
static long limit = 40;
SEPARATE static long work(long n) {
    long retries = n * 3, served = n + 1, numbers[4];
    fill(numbers, n);
    limit += n;
    update_here();
    touch(numbers);
    return retries * 1000 + served * 100 + numbers[2] + limit + conn->id;
}
#else
static long served_total, opened;
static _Thread_local long cached;
SEPARATE static void open_log(long n) { opened += n; }
SEPARATE static long work(long n) {
    long limit = 40 + n, id = conn->id + 1, sorted[4];
    conn->retries = n * 3;
    conn->state = 17;
    served_total = n + 1;
    cached = 9;
    fill(sorted, n);
    open_log(n);
    update_here();
    touch(sorted);
    expect("retries", n * 3, conn->retries);
    expect("served", n + 1, served_total);
    expect("limit", 40 + n, limit);
    expect("id", conn->id + 1, id);
    expect("array", n + 2, sorted[2]);
    return conn->retries * 1000 + served_total * 100 + sorted[2] + limit + conn->id;
}
SEPARATE static void check(void) {
    expect("state", 17, conn->state);
    expect("flags", 5, conn->flags);
    expect_text("peer", "10.0.0.1", conn->peer);
    expect("calls of open_log", 4, opened);
    expect("thread-local variable", 9, cached);
}
#endif

SEPARATE static void make(void) {
    conn = calloc(1, sizeof *conn);
    conn->id = 11;
    conn->flags = 5;
    conn->state = 1;
    strcpy(conn->peer, "10.0.0.1");
}

SEPARATE static void check_all(void) {
#if VERSION >= 2
    check();
#endif
}

int main(void) {
    make();
    long found = work(4);
    expect("what work makes of it", 12 * 1000 + 5 * 100 + 6 + 44 + 11, found);
    check_all();
    expect("calls of fill", 2, calls);
    free(conn);
    return finish();
}

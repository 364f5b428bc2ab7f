/* Objects that outgrow their blocks, held by another thread alone: in its frames, in registers that calls keep, as arguments. */
#include "data.h"
#include <pthread.h>

struct parcel {
    long number;
#if VERSION >= 2
    char label[72];
#endif
    struct parcel *next;
};
static int gate[2];
static _Atomic pid_t worker_tid;

SEPARATE static struct parcel *new_parcel(long number, struct parcel *next) {
    struct parcel *parcel = calloc(1, sizeof *parcel);
    parcel->number = number;
    parcel->next = next;
    return parcel;
}

SEPARATE static long number_of(struct parcel *parcel) {
#if VERSION >= 2
    expect_text("label", "", parcel->label);
#endif
    return parcel->number;
}

SEPARATE static struct parcel *next_of(struct parcel *parcel) { return parcel->next; }

SEPARATE static void check_sum(long sum) { expect("sum", 1231, sum); }

SEPARATE static void wait_for_gate(void) {
    char byte;
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
}

/* What it holds lives across the wait in saved registers at -O2, in its frame at -O0; the array is in its frame always. */
SEPARATE static long hold(struct parcel *one, struct parcel *two, struct parcel **table) {
    struct parcel *array[2] = {one, two};
    struct parcel **link = &array[1];
    wait_for_gate();
    long sum = number_of(one) + 10 * number_of(next_of(two)) + 100 * number_of(table[1]) + 1000 * number_of(array[0]);
    expect_pointer("in an array", one, array[0]);
    expect_pointer("through a pointer to the frame", two, *link);
    return sum;
}

static void *worker(void *unused) {
    struct parcel *table[2];
    (void)unused;
    table[0] = new_parcel(4, NULL);
    table[1] = new_parcel(2, NULL);
    struct parcel *one = new_parcel(1, table[0]), *two = new_parcel(9, new_parcel(3, NULL));
    check_sum(hold(one, two, table) + number_of(table[0]) - 4);
    expect_pointer("next of one", table[0], next_of(one));
    free(next_of(two));
    free(two);
    free(one);
    free(table[0]);
    free(table[1]);
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(gate));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    update_here();
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    use_heap();
    return finish();
}

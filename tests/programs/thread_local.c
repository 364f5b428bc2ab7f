/* Thread-local variables keep their value in each thread; a new thread starts with the new program's initialisers. */
#include "check.h"
#include <pthread.h>

#define THREADS 3
#if VERSION >= 2
static __thread int added = 21;
#endif
__thread int initialised = 7;
static __thread long zeroed;
static __thread char text[40] = "thread";
static __thread long *own;
static int shared = 5;
/* Its pointer lies halfway between words, as in an array of epoll_event. */
static __thread struct __attribute__((packed)) {
    int tag;
    int *pointer;
    int end;
} halfway __attribute__((aligned(8)));
static int gates[THREADS][2];
static _Atomic pid_t tids[THREADS];

SEPARATE static void check_added(void) {
#if VERSION >= 2
    expect("added variable", 21, added);
    added = 22;
#endif
}

/* The functions that know where the variables are: they are not on a stack during the wait, so they may change with them. */
SEPARATE static void fill(long index) {
    initialised += (int)index;
    zeroed = 1000 * index;
    text[0] = (char)('A' + index);
    own = &zeroed;
    halfway.pointer = &shared;
}

SEPARATE static void check(long index) {
    expect("initialised", 7 + index, initialised);
    expect("zeroed", 1000 * index, zeroed);
    expect("first letter", 'A' + index, text[0]);
    expect_text("rest of the text", "hread", text + 1);
    expect_pointer("pointer to one's own", &zeroed, own);
    expect_pointer("pointer halfway between words", &shared, halfway.pointer);
    check_added();
}

static void *worker(void *argument) {
    long index = (long)argument;
    char byte;
    fill(index);
    tids[index] = gettid();
    expect("worker's read", 1, read(gates[index][0], &byte, 1));
    check(index);
    return NULL;
}

static void *late(void *unused) {
    (void)unused;
    expect("new thread, initialised", 7, initialised);
    expect("new thread, zeroed", 0, zeroed);
    expect_text("new thread, text", "thread", text);
    check_added();
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS], last;
    for (long i = 0; i < THREADS; i++) {
        must("pipe", pipe(gates[i]));
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    }
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_read);
    zeroed = -1;
    update_here();
    expect("main's zeroed", -1, zeroed);
    expect("main's initialised", 7, initialised);
    must_be_zero("pthread_create", pthread_create(&last, NULL, late, NULL));
    must_be_zero("pthread_join", pthread_join(last, NULL));
    for (int i = 0; i < THREADS; i++)
        expect("release", 1, write(gates[i][1], "x", 1));
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    return finish();
}

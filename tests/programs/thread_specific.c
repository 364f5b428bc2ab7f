/* Thread-specific data and its destructors, which the C library keeps as plain addresses: the new one runs. */
#include "check.h"
#include <pthread.h>

static pthread_key_t key, second_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int gate[2], once_runs;
static _Atomic pid_t worker_tid;
static _Atomic int destroyed, destroyed_by;

SEPARATE static void destroy(void *value) {
    destroyed += *(int *)value;
    destroyed_by = version();
    free(value);
}

static void make_keys(void) {
    once_runs++;
    must_be_zero("pthread_key_create", pthread_key_create(&key, destroy));
    must_be_zero("pthread_key_create", pthread_key_create(&second_key, NULL));
}

static void *worker(void *unused) {
    char byte;
    int *value = malloc(sizeof *value);
    (void)unused;
    *value = 31;
    pthread_setspecific(key, value);
    pthread_setspecific(second_key, &once_runs);
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    expect_pointer("value in the thread", value, pthread_getspecific(key));
    expect_pointer("pointer to a global", &once_runs, pthread_getspecific(second_key));
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(gate));
    pthread_once(&once, make_keys);
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    update_here();
    pthread_once(&once, make_keys);
    expect("once", 1, once_runs);
    expect_pointer("main has no value", NULL, pthread_getspecific(key));
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("destructor", 31, destroyed);
    expect("version of the destructor", version(), destroyed_by);
    return finish();
}

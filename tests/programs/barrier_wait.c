/* A barrier that lacks one thread at the update. */
#include "check.h"
#include <pthread.h>

#define THREADS 4
static pthread_barrier_t barrier;
static _Atomic pid_t tids[THREADS];
static _Atomic int passed, serial;

static void *worker(void *argument) {
    tids[(long)argument] = gettid();
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        serial++;
    passed++;
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    must_be_zero("pthread_barrier_init", pthread_barrier_init(&barrier, NULL, THREADS + 1));
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_futex);
    update_here();
    expect("nobody passed", 0, passed);
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        serial++;
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    expect("everybody passed", THREADS, passed);
    expect("one serial thread", 1, serial);
    return finish();
}

/* A mutex that is held, threads that wait for it, and one of each kind that must remember its owner and depth. */
#include "check.h"
#include <pthread.h>

#define THREADS 3
static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static int counter;
static _Atomic pid_t tids[THREADS];

static void *worker(void *argument) {
    tids[(long)argument] = gettid();
    pthread_mutex_lock(&plain);
    counter++;
    pthread_mutex_unlock(&plain);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    pthread_mutex_lock(&plain);
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&checking);
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_futex);
    update_here();
    expect("still held", EBUSY, pthread_mutex_trylock(&plain));
    expect("nobody passed", 0, counter);
    pthread_mutex_unlock(&plain);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    expect("everybody passed", THREADS, counter);
    expect("recursive, first", 0, pthread_mutex_unlock(&recursive));
    expect("recursive, second", 0, pthread_mutex_unlock(&recursive));
    expect("recursive, once too often", EPERM, pthread_mutex_unlock(&recursive));
    expect("error checking, relock", EDEADLK, pthread_mutex_lock(&checking));
    expect("error checking, unlock", 0, pthread_mutex_unlock(&checking));
    return finish();
}

/* Threads that wait on a condition in .bss: none wakes by itself, each wakes when the condition is signalled. */
#include "check.h"
#include <pthread.h>

#define THREADS 8
#if VERSION >= 2
static char moves_the_condition[4096 + 64];
#endif
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition;
static int tickets, done, version_seen;
static _Atomic pid_t tids[THREADS];

SEPARATE static void work(void) {
#if VERSION >= 2
    moves_the_condition[done]++;
#endif
    done++;
    version_seen += version();
}

static void *worker(void *argument) {
    pthread_mutex_lock(&mutex);
    tids[(long)argument] = gettid();
    while (tickets == 0)
        pthread_cond_wait(&condition, &mutex);
    tickets--;
    work();
    pthread_mutex_unlock(&mutex);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_futex);
    update_here();
    expect("nobody woke", 0, done);
    pthread_mutex_lock(&mutex);
    tickets = THREADS;
    pthread_cond_signal(&condition);
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    expect("everybody worked", THREADS, done);
    expect("in the new version", THREADS * version(), version_seen);
    return finish();
}

/* Waits with a time-out inside futex: a raw one, a timed condition wait, and a timed semaphore. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static _Atomic int word = 1;
static _Atomic pid_t tids[3];
static _Atomic int results[3] = {-2, -2, -2};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int flag;
static sem_t semaphore;

static void *raw(void *unused) {
    struct timespec limit = {3600, 0};
    (void)unused;
    tids[0] = gettid();
    results[0] = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &limit, NULL, 0) ? errno : 0;
    return NULL;
}

static void *timed_condition(void *unused) {
    struct timespec until;
    int error = 0;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    pthread_mutex_lock(&mutex);
    tids[1] = gettid();
    while (!flag && !error)
        error = pthread_cond_timedwait(&condition, &mutex, &until);
    pthread_mutex_unlock(&mutex);
    results[1] = error;
    return NULL;
}

static void *timed_semaphore(void *unused) {
    struct timespec until;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    tids[2] = gettid();
    results[2] = sem_timedwait(&semaphore, &until) ? errno : 0;
    return NULL;
}

int main(void) {
    void *(*routines[3])(void *) = {raw, timed_condition, timed_semaphore};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, routines[i], NULL));
        await_syscall(&tids[i], SYS_futex);
    }
    update_here();
    for (int i = 0; i < 3; i++)
        expect("still waiting", -2, results[i]);
    expect("woken by one wake", 1, syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    pthread_mutex_lock(&mutex);
    flag = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    must("sem_post", sem_post(&semaphore));
    for (int i = 0; i < 3; i++) {
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
        expect("error of the wait", 0, results[i]);
    }
    return finish();
}

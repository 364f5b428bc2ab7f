/* A read-write lock held for reading, with a writer that waits. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static _Atomic pid_t writer_tid, sleeper_tid;
static int value;

static void *writer(void *unused) {
    (void)unused;
    writer_tid = gettid();
    pthread_rwlock_wrlock(&lock);
    value = 9;
    pthread_rwlock_unlock(&lock);
    return NULL;
}

static void *sleeper(void *unused) {
    (void)unused;
    sleeper_tid = gettid();
    expect("sem_wait", 0, sem_wait(&semaphore));
    return NULL;
}

int main(void) {
    pthread_t writing, sleeping;
    must("sem_init", sem_init(&semaphore, 0, 0));
    must_be_zero("rdlock", pthread_rwlock_rdlock(&lock));
    must_be_zero("pthread_create", pthread_create(&writing, NULL, writer, NULL));
    must_be_zero("pthread_create", pthread_create(&sleeping, NULL, sleeper, NULL));
    await_syscall(&writer_tid, SYS_futex);
    await_syscall(&sleeper_tid, SYS_futex);
    update_here();
    expect("held for reading", EBUSY, pthread_rwlock_trywrlock(&lock));
    expect("not written", 0, value);
    must_be_zero("unlock", pthread_rwlock_unlock(&lock));
    must_be_zero("pthread_join", pthread_join(writing, NULL));
    expect("written", 9, value);
    must("sem_post", sem_post(&semaphore));
    must_be_zero("pthread_join", pthread_join(sleeping, NULL));
    return finish();
}

/* Robust mutexes, shared with a child and private: the update is no death of their owner. A later death is. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct shared {
    pthread_mutex_t held, abandoned;
    int value;
};
static pthread_mutex_t private_held;

static void make_robust(pthread_mutex_t *mutex, int shared) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
    must_be_zero("pthread_mutex_init", pthread_mutex_init(mutex, &attributes));
}

static void *abandon(void *mutex) {
    pthread_mutex_lock(mutex);
    return NULL;
}

SEPARATE static int lock_in_child(struct shared *shared) {
    int status = 0;
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0)
        _exit(pthread_mutex_trylock(&shared->held));
    must("waitpid", waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    make_robust(&shared->held, 1);
    make_robust(&shared->abandoned, 1);
    make_robust(&private_held, 0);
    must_be_zero("lock", pthread_mutex_lock(&shared->held));
    must_be_zero("lock", pthread_mutex_lock(&private_held));
    shared->value = 5;
    update_here();
    expect("a child finds it held", EBUSY, lock_in_child(shared));
    expect("unlock of the shared one", 0, pthread_mutex_unlock(&shared->held));
    expect("unlock of the private one", 0, pthread_mutex_unlock(&private_held));
    expect("lock again", 0, pthread_mutex_lock(&shared->held));
    expect("unlock again", 0, pthread_mutex_unlock(&shared->held));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, abandon, &shared->abandoned));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("a death is still seen", EOWNERDEAD, pthread_mutex_lock(&shared->abandoned));
    expect("shared value", 5, shared->value);
    return finish();
}

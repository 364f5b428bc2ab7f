/* Started by root, now a service's user for good: no saved ID, no new privileges, and threads that wait. */
#include "check.h"
#include <grp.h>
#include <pthread.h>
#include <sys/prctl.h>

#define THREADS 3
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int woken, go;
static _Atomic pid_t tids[THREADS];

static void *worker(void *argument) {
    pid_t before = gettid();
    pthread_mutex_lock(&mutex);
    tids[(long)argument] = before;
    while (!go)
        pthread_cond_wait(&condition, &mutex);
    expect("thread ID", before, gettid());
    expect("user of the thread", 12345, syscall(SYS_geteuid));
    woken++;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    uid_t real, effective, saved;
    gid_t group = 12346;
    must("setgroups", setgroups(1, &group));
    must("setresgid", setresgid(12346, 12346, 12346));
    must("setresuid", setresuid(12345, 12345, 12345));
    must("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 1)); /* Its own /proc is root's otherwise. */
    must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_futex);
    must("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0));
    update_here();
    must("getresuid", getresuid(&real, &effective, &saved));
    expect("users", 3 * 12345, (long long)real + effective + saved);
    expect("no new privileges", 1, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    expect("not dumpable", 0, prctl(PR_GET_DUMPABLE));
    expect("effective capabilities", 0, proc_number("/proc/self/status", "CapEff", 16));
    expect("permitted capabilities", 0, proc_number("/proc/self/status", "CapPrm", 16));
    expect("nobody woke", 0, woken);
    pthread_mutex_lock(&mutex);
    go = 1;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    expect("everybody woke", THREADS, woken);
    return finish();
}

/* Every thread keeps its own signal mask. */
#include "check.h"
#include <pthread.h>
#include <signal.h>

#define THREADS 4
static int gates[THREADS][2];
static _Atomic pid_t tids[THREADS];

static void *worker(void *argument) {
    long index = (long)argument;
    sigset_t set, found;
    char byte;
    sigemptyset(&set);
    for (int i = 0; i <= index; i++)
        sigaddset(&set, SIGRTMIN + 2 * i);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    tids[index] = gettid();
    expect("worker's read", 1, read(gates[index][0], &byte, 1));
    pthread_sigmask(SIG_BLOCK, NULL, &found);
    for (int number = SIGRTMIN; number < SIGRTMIN + 2 * THREADS; number++)
        expect("signal in a thread's mask", sigismember(&set, number), sigismember(&found, number));
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    sigset_t mask, found;
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    must("sigprocmask", sigprocmask(SIG_SETMASK, &mask, NULL));
    for (long i = 0; i < THREADS; i++) {
        must("pipe", pipe(gates[i]));
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    }
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_read);
    update_here();
    sigprocmask(SIG_BLOCK, NULL, &found);
    for (int number = 1; number < SIGRTMIN; number++)
        expect("signal in main's mask", number == SIGWINCH, sigismember(&found, number) == 1);
    for (int i = 0; i < THREADS; i++)
        expect("release", 1, write(gates[i][1], "x", 1));
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    return finish();
}

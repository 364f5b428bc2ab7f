/* A signal that is pending for one thread is delivered to that thread, by the new handler, and to no other. */
#include "check.h"
#include <pthread.h>
#include <signal.h>

static pthread_barrier_t start;
static int gate[2];
static _Atomic pid_t worker_tid;
static _Atomic int handled_by, handled_version, handled_value;

SEPARATE static void on_signal(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    handled_by = gettid();
    handled_version = version();
    handled_value = info->si_value.sival_int;
}

static void *worker(void *unused) {
    sigset_t mask;
    char byte;
    (void)unused;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    pthread_barrier_wait(&start);
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    expect("not handled while blocked", 0, handled_by);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    return NULL;
}

int main(void) {
    pthread_t thread;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    must("sigaction", sigaction(SIGUSR1, &action, NULL));
    must("pipe", pipe(gate));
    must_be_zero("barrier", pthread_barrier_init(&start, NULL, 2));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    pthread_barrier_wait(&start);
    must_be_zero("pthread_sigqueue", pthread_sigqueue(thread, SIGUSR1, (union sigval){.sival_int = 7}));
    await_syscall(&worker_tid, SYS_read);
    update_here();
    expect("not handled yet", 0, handled_by);
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("thread that handled it", worker_tid, handled_by);
    expect("version of the handler", version(), handled_version);
    expect("value", 7, handled_value);
    return finish();
}

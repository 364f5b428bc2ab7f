/* Threads in ppoll and pselect6 with a time-out that is two seconds old at the update: they go on for the rest of it. The kernel
 * writes the rest to the time-out when it interrupts the call, and again when the call ends. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <time.h>

enum { LIMIT_S = 100, AGE_S = 2 };

static int ends[2];
static _Atomic pid_t tids[2];
static int results[2];
/* How much longer than its time-out each call would have taken. */
static double excess[2];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *in_ppoll(void *unused) {
    struct pollfd one = {.fd = ends[0], .events = POLLIN};
    struct timespec rest = {LIMIT_S, 0};
    double start = now();
    (void)unused;
    tids[0] = gettid();
    results[0] = (int)syscall(SYS_ppoll, &one, 1, &rest, NULL, 8);
    excess[0] = now() - start + (double)rest.tv_sec + (double)rest.tv_nsec / 1e9 - LIMIT_S;
    return NULL;
}

static void *in_pselect(void *unused) {
    struct timespec rest = {LIMIT_S, 0};
    double start = now();
    fd_set set;
    (void)unused;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    tids[1] = gettid();
    results[1] = (int)syscall(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &rest, NULL);
    excess[1] = now() - start + (double)rest.tv_sec + (double)rest.tv_nsec / 1e9 - LIMIT_S;
    return NULL;
}

int main(void) {
    pthread_t threads[2];
    must("pipe", pipe(ends));
    must_be_zero("pthread_create", pthread_create(&threads[0], NULL, in_ppoll, NULL));
    must_be_zero("pthread_create", pthread_create(&threads[1], NULL, in_pselect, NULL));
    await_syscall(&tids[0], SYS_ppoll);
    await_syscall(&tids[1], SYS_pselect6);
    /* The age of the time-outs is what is under test. */
    sleep(AGE_S);
    update_here();
    expect("write", 1, write(ends[1], "x", 1));
    for (int i = 0; i < 2; i++) {
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
        expect("one descriptor is ready", 1, results[i]);
        expect_true("not earlier than asked", excess[i] > -0.01);
        /* The stops do not count; a call that started over would take AGE_S longer. */
        expect_true("for the rest of the time", excess[i] < AGE_S);
    }
    return finish();
}

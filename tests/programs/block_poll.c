/* Threads blocked in poll and select: one gets its event, one its time-out, neither an EINTR. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <time.h>

static int first[2], second[2], third[2];
static _Atomic pid_t tids[3];
static _Atomic int results[3] = {-2, -2, -2};
static _Atomic int revents;
static double timeout_took;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *poll_event(void *unused) {
    struct pollfd set[2] = {{.fd = first[0], .events = POLLIN}, {.fd = second[0], .events = POLLIN}};
    (void)unused;
    tids[0] = gettid();
    results[0] = poll(set, 2, 3600 * 1000);
    revents = set[1].revents * 100 + set[0].revents;
    return NULL;
}

static void *poll_timeout(void *unused) {
    struct pollfd one = {.fd = third[0], .events = POLLIN};
    double start = now();
    (void)unused;
    tids[1] = gettid();
    results[1] = poll(&one, 1, 700);
    timeout_took = now() - start;
    return NULL;
}

static void *select_event(void *unused) {
    fd_set set;
    struct timeval limit = {3600, 0};
    (void)unused;
    FD_ZERO(&set);
    FD_SET(third[0], &set);
    tids[2] = gettid();
    results[2] = select(third[0] + 1, &set, NULL, NULL, &limit);
    expect_true("select's set", FD_ISSET(third[0], &set));
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    must("pipe", pipe(first));
    must("pipe", pipe(second));
    must("pipe", pipe(third));
    must_be_zero("pthread_create", pthread_create(&threads[0], NULL, poll_event, NULL));
    must_be_zero("pthread_create", pthread_create(&threads[2], NULL, select_event, NULL));
    await_syscall(&tids[0], SYS_poll);
    await_syscall(&tids[2], SYS_pselect6);
    must_be_zero("pthread_create", pthread_create(&threads[1], NULL, poll_timeout, NULL));
    update_here();
    expect("poll still waits", -2, results[0]);
    expect("select still waits", -2, results[2]);
    must_be_zero("pthread_join", pthread_join(threads[1], NULL));
    expect("poll timed out", 0, results[1]);
    expect_true("not before its time", timeout_took >= 0.699);
    expect("write", 1, write(second[1], "x", 1));
    expect("write", 1, write(third[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(threads[0], NULL));
    must_be_zero("pthread_join", pthread_join(threads[2], NULL));
    expect("poll", 1, results[0]);
    expect("its events", POLLIN * 100, revents);
    expect("select", 1, results[2]);
    return finish();
}

/* Threads asleep in nanosleep: not woken by the update, and what is left of the time is what it would have been. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define HOUR 3600.0
static _Atomic pid_t relative_tid, absolute_tid;
static int relative_error, absolute_error;
static double left, took;
static pthread_t relative_thread;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

SEPARATE static void on_signal(int number) { (void)number; }

static void *sleep_relative(void *unused) {
    struct timespec wanted = {3600, 0}, remaining = {0, 0};
    (void)unused;
    double start = now();
    relative_tid = gettid();
    relative_error = nanosleep(&wanted, &remaining) ? errno : 0;
    took = now() - start;
    left = (double)remaining.tv_sec + (double)remaining.tv_nsec / 1e9;
    return NULL;
}

static void *sleep_absolute(void *unused) {
    struct timespec until;
    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 3600;
    absolute_tid = gettid();
    absolute_error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return NULL;
}

int main(void) {
    pthread_t absolute_thread;
    struct timespec pause = {0, 400 * 1000 * 1000};
    struct sigaction action = {.sa_handler = on_signal};
    must("sigaction", sigaction(SIGUSR1, &action, NULL));
    must_be_zero("pthread_create", pthread_create(&relative_thread, NULL, sleep_relative, NULL));
    must_be_zero("pthread_create", pthread_create(&absolute_thread, NULL, sleep_absolute, NULL));
    await_syscall(&relative_tid, SYS_clock_nanosleep);
    await_syscall(&absolute_tid, SYS_clock_nanosleep);
    nanosleep(&pause, NULL); /* The subject of the measurement: time that a sleep started over would forget. */
    update_here();
    expect_true("still asleep", took == 0.0 && absolute_error == 0);
    pthread_kill(relative_thread, SIGUSR1);
    pthread_kill(absolute_thread, SIGUSR1);
    must_be_zero("pthread_join", pthread_join(relative_thread, NULL));
    must_be_zero("pthread_join", pthread_join(absolute_thread, NULL));
    expect("interrupted by the handler only", EINTR, relative_error);
    expect("absolute sleep, likewise", EINTR, absolute_error);
    double excess = left + took - HOUR;
    if (excess < -0.05 || excess > 0.3)
        expect("milliseconds that the sleep became longer", 0, (long long)(excess * 1000));
    return finish();
}

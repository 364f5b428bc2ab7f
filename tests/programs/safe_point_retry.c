/* A worker is in a changed function most of the time, and leaves it again and again: the update waits for its moment. */
#include "check.h"
#include <pthread.h>
#include <time.h>

static _Atomic int stop, rounds, rounds_of_two;
static long sink;

SEPARATE static void busy(void) {
    for (int i = 0; i < 200000; i++)
#if VERSION >= 2
        sink += i ^ 5;
    rounds_of_two++;
#else
        sink += i;
#endif
    rounds++;
}

static void *worker(void *unused) {
    struct timespec moment = {0, 1000000};
    (void)unused;
    while (!stop) {
        for (int i = 0; i < 5; i++)
            busy();
        nanosleep(&moment, NULL);
    }
    return NULL;
}

SEPARATE static int right_rounds(void) { return VERSION >= 2 ? rounds_of_two > 0 : 1; }

int main(void) {
    pthread_t thread;
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    while (rounds < 3)
        sched_yield();
    update_here();
    for (int before = rounds; rounds < before + 10;)
        sched_yield();
    expect_true("rounds of the new version", right_rounds());
    stop = 1;
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    return finish();
}

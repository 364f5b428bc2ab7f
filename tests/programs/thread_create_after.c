/* Threads made after the update: new start routine, stack and thread-local storage work, also for a cached stack. */
#include "check.h"
#include <pthread.h>

static __thread int counter = 5;
static __thread char *buffer;
static void *(*start)(void *);

SEPARATE static void *worker(void *argument) {
    long sum = (long)argument;
    buffer = malloc(1000);
    fill_pattern(buffer, 1000, (unsigned)sum);
    counter += version();
    sum += counter;
    expect_pattern("thread's buffer", buffer, 1000, (unsigned)(long)argument);
    free(buffer);
    return (void *)sum;
}

SEPARATE static void run(int count) {
    pthread_t threads[8];
    void *result;
    for (long i = 0; i < count; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, start, (void *)(i * 100)));
    for (long i = 0; i < count; i++) {
        must_be_zero("pthread_join", pthread_join(threads[i], &result));
        expect("result of a thread", i * 100 + 5 + version(), (long)result);
    }
}

int main(void) {
    start = worker;
    run(3);
    counter = 99;
    update_here();
    run(8);
    run(8);
    expect("main's own", 99, counter);
    expect_pointer("start routine", (void *)worker, (void *)start);
    return finish();
}

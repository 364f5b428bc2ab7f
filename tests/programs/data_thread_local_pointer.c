/* Thread-local variables of several threads point to objects that outgrow their blocks. */
#include "data.h"
#include <pthread.h>

enum { WORKERS = 3 };
struct job {
    int number;
    struct job *next;
#if VERSION >= 2
    long deadline[4];
#endif
};
static __thread struct job *jobs;
static __thread int *first_number;
static int gate[2];
static _Atomic pid_t tids[WORKERS];

SEPARATE static void make(int base) {
    for (int i = 4; i >= 0; i--) {
        struct job *job = calloc(1, sizeof *job);
        job->number = base + i;
        job->next = jobs;
        jobs = job;
    }
    first_number = &jobs->number;
}

SEPARATE static void check(int base) {
    int i = 0;
    expect_pointer("number of the first", &jobs->number, first_number);
    for (struct job *job = jobs, *next; job; job = next, i++) {
        next = job->next;
        expect("number", base + i, job->number);
#if VERSION >= 2
        expect("deadline", 0, job->deadline[3]);
#endif
        free(job);
    }
    expect("jobs", 5, i);
}

static void *worker(void *argument) {
    int index = *(int *)argument;
    char byte;
    make(index * 100);
    tids[index] = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    check(index * 100);
    return NULL;
}

int main(void) {
    pthread_t threads[WORKERS];
    static int numbers[WORKERS] = {0, 1, 2};
    must("pipe", pipe(gate));
    for (int i = 0; i < WORKERS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, &numbers[i]));
    for (int i = 0; i < WORKERS; i++)
        await_syscall(&tids[i], SYS_read);
    make(1000);
    update_here();
    check(1000);
    for (int i = 0; i < WORKERS; i++)
        expect("release", 1, write(gate[1], "x", 1));
    for (int i = 0; i < WORKERS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    use_heap();
    return finish();
}

/* Restartable sequences, registered by the C library in every thread, stay registered and up to date. */
#include "check.h"
#include <pthread.h>
#include <sys/rseq.h>

static int gate[2];
static _Atomic pid_t worker_tid;

SEPARATE static struct rseq *own_area(void) { return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset); }

/* On one processor, the area must name it; the kernel writes it only while it is registered. */
SEPARATE static void check(const char *who) {
    cpu_set_t all, one;
    must("sched_getaffinity", sched_getaffinity(0, sizeof all, &all));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        must("sched_setaffinity", sched_setaffinity(0, sizeof one, &one));
        sched_yield();
        expect(who, cpu, *(volatile unsigned *)&own_area()->cpu_id);
    }
    /* Registering twice is EBUSY where the same area is registered, 0 where none was. */
    expect("second registration", EBUSY,
           syscall(SYS_rseq, own_area(), 32, 0, RSEQ_SIG) ? errno : 0);
}

static void *worker(void *unused) {
    char byte;
    (void)unused;
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    if (__rseq_size)
        check("processor in the worker's area");
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(gate));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    update_here();
    if (__rseq_size)
        check("processor in main's area");
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    return finish();
}

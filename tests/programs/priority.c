/* Nice values, CPU affinity and scheduling policy, which belong to each thread. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>

static int gate[2];
static _Atomic pid_t worker_tid;
static cpu_set_t one_cpu;
static int cpu;

SEPARATE static void check_worker(void) {
    cpu_set_t found;
    struct sched_param parameters;
    expect("worker's nice value", 7, getpriority(PRIO_PROCESS, 0));
    must("sched_getaffinity", sched_getaffinity(0, sizeof found, &found));
    expect("worker's processors", 1, CPU_COUNT(&found));
    expect_true("worker's processor", CPU_ISSET(cpu, &found));
    expect("worker's policy", SCHED_BATCH, sched_getscheduler(0));
    must("sched_getparam", sched_getparam(0, &parameters));
    expect("worker's priority", 0, parameters.sched_priority);
}

static void *worker(void *unused) {
    struct sched_param none = {0};
    char byte;
    (void)unused;
    must("sched_setaffinity", sched_setaffinity(0, sizeof one_cpu, &one_cpu));
    must("sched_setscheduler", sched_setscheduler(0, SCHED_BATCH, &none));
    must("setpriority", setpriority(PRIO_PROCESS, 0, 7));
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    check_worker();
    return NULL;
}

int main(void) {
    pthread_t thread;
    cpu_set_t before, after;
    struct sched_param none = {0};
    must("sched_getaffinity", sched_getaffinity(0, sizeof before, &before));
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_SET(cpu, &one_cpu);
    must("pipe", pipe(gate));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    must("setpriority", setpriority(PRIO_PROCESS, 0, 3));
    must("sched_setscheduler", sched_setscheduler(0, SCHED_IDLE, &none));
    update_here();
    expect("main's nice value", 3, getpriority(PRIO_PROCESS, 0));
    expect("main's policy", SCHED_IDLE, sched_getscheduler(0));
    must("sched_getaffinity", sched_getaffinity(0, sizeof after, &after));
    expect_true("main's processors", CPU_EQUAL(&before, &after));
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    return finish();
}

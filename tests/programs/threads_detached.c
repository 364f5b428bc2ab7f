/* Detached threads go on and end by themselves; thread IDs, names and the count of threads stay. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>

#define THREADS 5
static int gate[2], report[2];
static _Atomic pid_t tids[THREADS];

static void *worker(void *argument) {
    char byte, name[16];
    pid_t before = gettid();
    snprintf(name, sizeof name, "worker-%ld", (long)argument);
    pthread_setname_np(pthread_self(), name);
    tids[(long)argument] = before;
    expect("worker's read", 1, read(gate[0], &byte, 1));
    pthread_getname_np(pthread_self(), name, sizeof name);
    expect("name", '0' + (long)argument, name[7]);
    expect("thread ID", before, (pid_t)syscall(SYS_gettid));
    expect("report", 1, write(report[1], "x", 1));
    return NULL;
}

SEPARATE static int count_threads(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

int main(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    char byte;
    must("pipe", pipe(gate));
    must("pipe", pipe(report));
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&thread, &attributes, worker, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_read);
    update_here();
    expect("number of threads", THREADS + 1, count_threads());
    expect("release", THREADS, write(gate[1], "xxxxx", THREADS));
    for (int i = 0; i < THREADS; i++)
        expect("report", 1, read(report[0], &byte, 1));
    while (count_threads() > 1)
        sched_yield();
    return finish();
}

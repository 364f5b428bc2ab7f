/* The main thread has ended with pthread_exit and another goes on: outside what an update can move, refused. */
#include "check.h"
#include <pthread.h>
#include <signal.h>

static pthread_t main_thread;

static void *worker(void *unused) {
    (void)unused;
    must_be_zero("pthread_join of main", pthread_join(main_thread, NULL));
    while (proc_number("/proc/self/task/../status", "Threads", 10) != 2)
        sched_yield();
    update_here();
    exit(finish());
}

int main(void) {
    pthread_t thread;
    main_thread = pthread_self();
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    pthread_exit(NULL);
}

/* The loops that threads live in. They only wait and hand on; what is to be done is elsewhere. */
#include "kvd.h"

int epoll_fd = -1;

/* Rounds of the loops. With COUNT_ROUNDS they are counted: scripts/drill-loops updates a build without it to one with it. */
atomic_ulong stat_jobs, stat_ready;
#ifdef COUNT_ROUNDS
#define COUNT(what) atomic_fetch_add(&what, 1)
#else
#define COUNT(what) (void)0
#endif

static struct worker {
    pthread_t thread;
    unsigned number;
} workers[MAX_WORKERS];

static __thread struct worker *self;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static struct conn *first_job, **last_job = &first_job;

void jobs_push(struct conn *conn) {
    pthread_mutex_lock(&lock);
    conn->next_job = NULL;
    *last_job = conn;
    last_job = &conn->next_job;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static struct conn *jobs_wait(void) {
    pthread_mutex_lock(&lock);
    while (!first_job)
        pthread_cond_wait(&not_empty, &lock);
    struct conn *conn = first_job;
    first_job = conn->next_job;
    if (!first_job)
        last_job = &first_job;
    pthread_mutex_unlock(&lock);
    return conn;
}

/* The number of the calling worker, from 1; 0 in the main thread. */
unsigned worker_number(void) {
    return self ? self->number : 0;
}

static void *worker_loop(void *argument) {
    self = argument;
    for (;;) {
        conn_serve(jobs_wait());
        COUNT(stat_jobs);
    }
    return NULL;
}

void pool_start(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        workers[i].number = i + 1;
        errno = pthread_create(&workers[i].thread, NULL, worker_loop, &workers[i]);
        if (errno)
            die("cannot start a worker");
    }
}

int main(int argc, char **argv) {
    setup(argc, argv);
    for (;;) {
        struct epoll_event events[32];
        int count = epoll_wait(epoll_fd, events, 32, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->ready(source);
            COUNT(stat_ready);
        }
    }
}

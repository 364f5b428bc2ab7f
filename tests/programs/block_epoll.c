/* A thread blocked in epoll_wait; the event that comes after the update carries a pointer to a global. */
#include "check.h"
#include <pthread.h>
#include <sys/epoll.h>

struct source {
    const char *name;
    int fd;
};
static struct source watched = {"watched", -1};
static int epoll, pipe_ends[2];
static _Atomic pid_t waiter_tid;
static _Atomic int result = -2;
static struct epoll_event event;

static void *waiter(void *unused) {
    (void)unused;
    waiter_tid = gettid();
    result = epoll_wait(epoll, &event, 1, 3600 * 1000);
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(pipe_ends));
    watched.fd = pipe_ends[0];
    epoll = (int)must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &watched};
    must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, watched.fd, &wanted));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, waiter, NULL));
    await_syscall(&waiter_tid, SYS_epoll_wait);
    update_here();
    expect("still waiting", -2, result);
    expect("write", 1, write(pipe_ends[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("events", 1, result);
    expect_pointer("pointer in the event", &watched, event.data.ptr);
    expect("what it points to", pipe_ends[0], ((struct source *)event.data.ptr)->fd);
    return finish();
}

/* Nothing but `epoll_event.data.ptr` leads to some objects: the spec says what they are. One watch leads to an object of another type. */
#include "data.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { CONNECTIONS = 6 };
struct connection {
    int fd;
#if VERSION >= 2
    char peer[48];
#endif
    unsigned long served;
};
struct listener {
    int fd, backlog;
};
static struct listener *listener;
static int epoll;

SEPARATE static void watch(int fd, void *data) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = data}};
    must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

SEPARATE static void make(void) {
    made_by = VERSION;
    epoll = (int)must("epoll_create1", epoll_create1(0));
    listener = malloc(sizeof *listener);
    listener->fd = (int)must("eventfd", eventfd(1, 0));
    listener->backlog = 17;
    watch(listener->fd, listener);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->fd = (int)must("eventfd", eventfd(1, 0));
        connection->served = 100 + (unsigned long)i;
        watch(connection->fd, connection);
    }
}

SEPARATE static void check(void) {
    struct epoll_event events[CONNECTIONS + 2];
    unsigned long served = 0;
    int listeners = 0;
    expect("events", CONNECTIONS + 1, epoll_wait(epoll, events, CONNECTIONS + 2, 0));
    for (int i = 0; i < CONNECTIONS + 1; i++) {
        if (events[i].data.ptr == listener) {
            listeners++;
            continue;
        }
        struct connection *connection = events[i].data.ptr;
        uint64_t value = 0;
        expect("read", 8, read(connection->fd, &value, 8));
        served += connection->served;
#if VERSION >= 2
        expect_text("peer", "", connection->peer);
#endif
        close(connection->fd);
        free(connection);
    }
    expect("listeners", 1, listeners);
    expect("backlog", 17, listener->backlog);
    expect("served", 100 * CONNECTIONS + CONNECTIONS * (CONNECTIONS - 1) / 2, (long long)served);
    free(listener);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

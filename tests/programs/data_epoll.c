/* `epoll_event.data.ptr` leads to objects that outgrow their blocks: what the kernel holds follows. */
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
    struct connection *next;
};
static struct connection *connections;
static int epoll;

SEPARATE static void make(void) {
    made_by = VERSION;
    epoll = (int)must("epoll_create1", epoll_create1(0));
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->fd = (int)must("eventfd", eventfd(0, 0));
        connection->served = (unsigned long)i;
        connection->next = connections;
        connections = connection;
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = connection}};
        must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event));
    }
}

SEPARATE static void check(void) {
    uint64_t one = 1;
    int i = CONNECTIONS;
    for (struct connection *connection = connections, *next; connection; connection = next) {
        struct epoll_event event = {0};
        next = connection->next;
        i--;
        expect("write", 8, write(connection->fd, &one, 8));
        expect("epoll_wait", 1, epoll_wait(epoll, &event, 1, 0));
        expect_pointer("connection", connection, event.data.ptr);
        expect("served", i, (long long)connection->served);
#if VERSION >= 2
        expect_text("peer", "", connection->peer);
#endif
        close(connection->fd);
        free(connection);
    }
    expect("connections", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

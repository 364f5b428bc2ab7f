/* An epoll keeps its watches, their flags and their data: a pointer to a global, a number, a heap pointer. */
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct handler {
    const char *name;
    int (*handle)(int);
};
SEPARATE static int twice(int x) { return 2 * x + version(); }
static struct handler by_global = {"by global", twice};

SEPARATE static void add(int epoll, int fd, uint32_t events, epoll_data_t data) {
    struct epoll_event event = {.events = events, .data = data};
    must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

SEPARATE static struct epoll_event next(int epoll) {
    struct epoll_event event = {0};
    expect("epoll_wait", 1, epoll_wait(epoll, &event, 1, 0));
    return event;
}

int main(void) {
    struct epoll_event event;
    struct handler *in_heap = malloc(sizeof *in_heap);
    int epoll = (int)must("epoll_create1", epoll_create1(0));
    int a = (int)must("eventfd", eventfd(0, 0)), b = (int)must("eventfd", eventfd(0, 0));
    int c = (int)must("eventfd", eventfd(0, 0)), d = (int)must("eventfd", eventfd(1, 0));
    *in_heap = (struct handler){"in heap", twice};
    add(epoll, a, EPOLLIN | EPOLLET, (epoll_data_t){.ptr = &by_global});
    add(epoll, b, EPOLLIN | EPOLLONESHOT, (epoll_data_t){.u32 = 0x12345678});
    add(epoll, c, EPOLLIN, (epoll_data_t){.ptr = in_heap});
    add(epoll, d, EPOLLIN | EPOLLET, (epoll_data_t){.u64 = 0xfedcba9876543210});
    expect("the edge, once", 0xfedcba9876543210, (long long)next(epoll).data.u64);
    update_here();

    /* An edge that was reported may be reported once more: nothing tells an engine that it was. */
    if (epoll_wait(epoll, &event, 1, 0) == 1)
        expect("the edge, again", 0xfedcba9876543210, (long long)event.data.u64);
    uint64_t one = 1;
    expect("write", 8, write(a, &one, 8));
    event = next(epoll);
    expect_pointer("pointer to a global", &by_global, event.data.ptr);
    if (event.data.ptr == &by_global)
        expect("its function", 14 + version(), ((struct handler *)event.data.ptr)->handle(7));
    expect("write", 8, write(b, &one, 8));
    event = next(epoll);
    expect("number", 0x12345678, event.data.u32);
    expect("write", 8, write(b, &one, 8));
    expect("EPOLLONESHOT", 0, epoll_wait(epoll, &event, 1, 0));
    expect("write", 8, write(c, &one, 8));
    event = next(epoll);
    expect_pointer("heap pointer", in_heap, event.data.ptr);
    if (event.data.ptr == in_heap)
        expect("its function", 14 + version(), in_heap->handle(7));
    expect("level-triggered, again", 1, epoll_wait(epoll, &event, 1, 0));
    must("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_DEL, c, NULL));
    expect("nothing more", 0, epoll_wait(epoll, &event, 1, 0));
    return finish();
}

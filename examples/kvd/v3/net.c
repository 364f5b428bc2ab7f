/* Sources that epoll watches: the listener, the sweep timer, and connections with their buffers. */
#define _GNU_SOURCE
#include "kvd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

atomic_ulong stat_connections, stat_open, stat_bytes_in, stat_bytes_out;

static void listener_ready(struct source *source);
static void sweeper_ready(struct source *source);
static struct source listener = {-1, listener_ready};
static struct source sweeper = {-1, sweeper_ready};

void source_watch(struct source *source, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(epoll_fd, operation, source->fd, &event) < 0)
        die("epoll_ctl");
}

void events_dispatch(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct source *source = events[i].data.ptr;
        source->ready(source);
    }
}

static void conn_ready(struct source *source)
{
    jobs_push((struct conn *)source);
}

/* A connection is armed for one event; whoever gets that has the connection alone until it is armed again. */
static void conn_arm(struct conn *conn, int operation)
{
    uint32_t events = conn->out_len > conn->out_sent ? EPOLLOUT : EPOLLIN;
    source_watch(&conn->source, events | EPOLLRDHUP | EPOLLONESHOT, operation);
}

static void conn_close(struct conn *conn)
{
    if (conn->commands)
        log_line("connection %d closed: %lu commands, last %s", conn->source.fd, conn->commands, command_name(conn->last));
    close(conn->source.fd);
    free(conn->out);
    free(conn);
    atomic_fetch_sub(&stat_open, 1);
}

static void conn_open(int fd)
{
    int yes = 1;
    struct conn *conn = allocate(sizeof *conn);
    conn->source = (struct source){fd, conn_ready};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    atomic_fetch_add(&stat_connections, 1);
    atomic_fetch_add(&stat_open, 1);
    conn_arm(conn, EPOLL_CTL_ADD);
}

/* Accepts all who wait, not only the first. */
static void listener_ready(struct source *source)
{
    int fd;
    while ((fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        conn_open(fd);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        log_line("accept: %s", strerror(errno));
}

static void sweeper_ready(struct source *source)
{
    uint64_t ticks;
    if (read(source->fd, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
        store_sweep();
}

void net_listen(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct itimerspec every = {{0, SWEEP_INTERVAL_MS * 1000000L}, {0, SWEEP_INTERVAL_MS * 1000000L}};
    socklen_t length = sizeof address;
    int yes = 1;

    sweeper.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (sweeper.fd < 0 || timerfd_settime(sweeper.fd, 0, &every, NULL) < 0)
        die("the sweep timer");
    source_watch(&sweeper, EPOLLIN, EPOLL_CTL_ADD);

    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener.fd < 0)
        die("socket");
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener.fd, (struct sockaddr *)&address, length) < 0 || listen(listener.fd, SOMAXCONN) < 0)
        die("cannot listen");
    getsockname(listener.fd, (struct sockaddr *)&address, &length);
    source_watch(&listener, EPOLLIN, EPOLL_CTL_ADD);
    printf("kvd %s listening on 127.0.0.1:%u\n", KVD_VERSION, ntohs(address.sin_port));
    fflush(stdout);
}

/* Adds a line to the replies. */
void conn_reply(struct conn *conn, const char *format, ...)
{
    static __thread char text[VALUE_MAX_LEN + 256];
    va_list arguments;
    va_start(arguments, format);
    size_t len = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    if (len > sizeof text - 2)
        len = sizeof text - 2;
    text[len++] = '\n';
    if (conn->out_len + len > conn->out_cap) {
        conn->out_cap = (conn->out_len + len) * 2;
        conn->out = realloc(conn->out, conn->out_cap);
        if (!conn->out)
            die("replies");
    }
    memcpy(conn->out + conn->out_len, text, len);
    conn->out_len += len;
}

/* Sends what it can; false when the peer is gone. */
static bool conn_flush(struct conn *conn)
{
    while (conn->out_sent < conn->out_len) {
        ssize_t sent = write(conn->source.fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent);
        if (sent < 0)
            return errno == EAGAIN;
        conn->out_sent += sent;
        atomic_fetch_add(&stat_bytes_out, sent);
    }
    conn->out_sent = conn->out_len = 0;
    return true;
}

/* Executes every whole line in the buffer and keeps the rest. */
static void conn_run_lines(struct conn *conn)
{
    char *line = conn->in, *end;
    while (!conn->closing && (end = memchr(line, '\n', conn->in_len))) {
        conn->in_len -= end + 1 - line;
        *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        conn->commands++;
        command_execute(conn, line);
        line = end + 1;
    }
    memmove(conn->in, line, conn->in_len);
    if (conn->in_len == sizeof conn->in) {
        conn_reply(conn, "-ERR line too long");
        conn->closing = true;
    }
}

void conn_serve(struct conn *conn)
{
    bool alive = conn_flush(conn);
    while (alive && !conn->closing && !conn->out_len) {
        ssize_t got = read(conn->source.fd, conn->in + conn->in_len, sizeof conn->in - conn->in_len);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got > 0) {
            atomic_fetch_add(&stat_bytes_in, got);
            conn->in_len += got;
            conn_run_lines(conn);
        }
        alive = got > 0 && conn_flush(conn);
    }
    if (!alive || (conn->closing && !conn->out_len))
        conn_close(conn);
    else
        conn_arm(conn, EPOLL_CTL_MOD);
}

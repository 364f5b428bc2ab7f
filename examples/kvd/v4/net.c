/* Sources that epoll watches: the listener, the sweep timer, and connections with their buffers. */
#include "kvd.h"

atomic_ulong stat_connections, stat_open;

void source_watch(struct source *source, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(epoll_fd, operation, source->fd, &event) < 0)
        die("epoll_ctl");
}

static void conn_ready(struct source *source) {
    jobs_push((struct conn *)source);
}

/* A connection is armed for one event; whoever gets that has the connection alone until it is armed again. */
enum { CONN_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT };

static void conn_close(struct conn *conn) {
    log_line("connection %d closed: %lu commands, last %s", conn->source.fd, conn->commands, command_name(conn->last));
    fclose(conn->out);
    free(conn);
    atomic_fetch_sub(&stat_open, 1);
}

static void conn_open(int fd) {
    struct conn *conn = allocate(sizeof *conn);
    conn->source = (struct source){fd, conn_ready};
    conn->out = fdopen(fd, "w");
    if (!conn->out)
        die("connection");
    atomic_fetch_add(&stat_connections, 1);
    atomic_fetch_add(&stat_open, 1);
    source_watch(&conn->source, CONN_EVENTS, EPOLL_CTL_ADD);
}

static void listener_ready(struct source *source) {
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        conn_open(fd);
    else if (errno != EINTR && errno != ECONNABORTED)
        log_line("accept: %s", strerror(errno));
}

static void sweeper_ready(struct source *source) {
    uint64_t ticks;
    if (read(source->fd, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
        store_sweep();
}

static struct source listener = {-1, listener_ready}, sweeper = {-1, sweeper_ready};

void net_listen(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct itimerspec every = {{0, 100000000}, {0, 100000000}};
    socklen_t length = sizeof address;

    sweeper.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (sweeper.fd < 0 || timerfd_settime(sweeper.fd, 0, &every, NULL) < 0)
        die("the sweep timer");
    source_watch(&sweeper, EPOLLIN, EPOLL_CTL_ADD);
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&address, length) < 0 || listen(listener.fd, SOMAXCONN) < 0)
        die("cannot listen");
    getsockname(listener.fd, (struct sockaddr *)&address, &length);
    source_watch(&listener, EPOLLIN, EPOLL_CTL_ADD);
    printf("kvd %s listening on 127.0.0.1:%u\n", KVD_VERSION, ntohs(address.sin_port));
    fflush(stdout);
}

/* Executes every whole line in the buffer and keeps the rest; false when that is too long for a line. */
static bool conn_run_lines(struct conn *conn) {
    char *line = conn->in, *end;
    while ((end = memchr(line, '\n', conn->in_len))) {
        conn->in_len -= end + 1 - line;
        *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        conn->commands++;
        command_execute(conn, line);
        line = end + 1;
    }
    memmove(conn->in, line, conn->in_len);
    return conn->in_len < sizeof conn->in;
}

void conn_serve(struct conn *conn) {
    ssize_t got = recv(conn->source.fd, conn->in + conn->in_len, sizeof conn->in - conn->in_len, MSG_DONTWAIT);
    bool alive = got > 0 || (got < 0 && errno == EAGAIN);
    if (got > 0) {
        conn->in_len += got;
        alive = conn_run_lines(conn) && fflush(conn->out) == 0;
    }
    if (alive)
        source_watch(&conn->source, CONN_EVENTS, EPOLL_CTL_MOD);
    else
        conn_close(conn);
}

/* Listening sockets keep address, backlog and options; a new connection is accepted, on IPv4 and IPv6. */
#include "check.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

SEPARATE static int listen_on(struct sockaddr *address, socklen_t *length) {
    int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    must("setsockopt", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
    if (bind(fd, address, *length) || listen(fd, 16) || getsockname(fd, address, length)) {
        close(fd);
        return -1;
    }
    return fd;
}

SEPARATE static void check(int listener, const struct sockaddr *address, socklen_t length) {
    int value = 0;
    socklen_t size = sizeof value;
    struct sockaddr_storage now = {0};
    socklen_t now_length = sizeof now;
    char text[8] = "";
    must("getsockname", getsockname(listener, (struct sockaddr *)&now, &now_length));
    expect_true("address", now_length == length && !memcmp(&now, address, length));
    must("getsockopt", getsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &value, &size));
    expect("SO_KEEPALIVE", 1, value);
    must("getsockopt", getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
    expect("listening", 1, value);
    expect("nothing to accept", EAGAIN, accept(listener, NULL, NULL) == -1 ? errno : 0);
    int client = (int)must("socket", socket(address->sa_family, SOCK_STREAM, 0));
    must("connect", connect(client, address, length));
    int server = (int)must("accept", accept(listener, NULL, NULL));
    expect("write", 3, write(client, "hi", 3));
    expect("read", 3, read(server, text, sizeof text));
    expect_text("bytes", "hi", text);
    close(client);
    close(server);
}

int main(void) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t four_length = sizeof four, six_length = sizeof six;
    int on_four = listen_on((struct sockaddr *)&four, &four_length);
    int on_six = listen_on((struct sockaddr *)&six, &six_length); /* -1 on a machine without IPv6. */
    must("listening on IPv4", on_four);
    update_here();
    check(on_four, (struct sockaddr *)&four, four_length);
    if (on_six >= 0)
        check(on_six, (struct sockaddr *)&six, six_length);
    return finish();
}

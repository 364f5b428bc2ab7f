/* UNIX sockets: a listener by path, one by abstract name, a bound datagram socket, a connection inside the process. */
#include "check.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

SEPARATE static int bound(int type, const char *name, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, length);
    int fd = (int)must("socket", socket(AF_UNIX, type, 0));
    must("bind", bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
    return fd;
}

SEPARATE static int connected(int type, const char *name, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, length);
    int fd = (int)must("socket", socket(AF_UNIX, type, 0));
    must("connect", connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
    return fd;
}

int main(void) {
    char abstract[32] = "", text[32] = "";
    size_t length = 1 + (size_t)snprintf(abstract + 1, sizeof abstract - 1, "dsu-test-%d", getpid());
    int by_path = bound(SOCK_STREAM, "listener", 9), by_name = bound(SOCK_SEQPACKET, abstract, length);
    int datagrams = bound(SOCK_DGRAM, "datagrams", 10), one = 1;
    must("listen", listen(by_path, 4));
    must("listen", listen(by_name, 4));
    must("setsockopt", setsockopt(datagrams, SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    int client = connected(SOCK_STREAM, "listener", 9);
    int server = (int)must("accept", accept(by_path, NULL, NULL));
    expect("write", 6, write(client, "before", 6));
    update_here();
    expect("read", 6, read(server, text, sizeof text));
    expect_text("queued", "before", text);
    expect("write", 3, write(server, "now", 3));
    expect("read", 3, read(client, text, 3));
    int second = connected(SOCK_STREAM, "listener", 9);
    int accepted = (int)must("accept", accept(by_path, NULL, NULL));
    expect("write", 4, write(second, "path", 4));
    expect("read", 4, read(accepted, text, sizeof text));
    int third = connected(SOCK_SEQPACKET, abstract, length);
    int packets = (int)must("accept", accept(by_name, NULL, NULL));
    expect("write", 8, write(third, "abstract", 8));
    expect("read", 8, read(packets, text, sizeof text));
    int sender = connected(SOCK_DGRAM, "datagrams", 10);
    expect("send", 5, send(sender, "datag", 5, 0));
    struct ucred credentials;
    char control[CMSG_SPACE(sizeof credentials)];
    struct iovec part = {text, sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    expect("recvmsg", 5, recvmsg(datagrams, &message, 0));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    expect_true("SO_PASSCRED", header && header->cmsg_type == SCM_CREDENTIALS);
    if (header) {
        memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
        expect("sender", getpid(), credentials.pid);
    }
    return finish();
}

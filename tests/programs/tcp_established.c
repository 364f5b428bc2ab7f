/* An established TCP connection to another program: no byte lost, no option changed, no reset. */
#include "check.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char **environ;

/* The peer: this program again, with the port as its argument. It echoes each byte plus one until the end. */
SEPARATE static int peer(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char bytes[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        return 1;
    for (ssize_t length; (length = read(fd, bytes, sizeof bytes)) > 0;) {
        for (ssize_t i = 0; i < length; i++)
            bytes[i]++;
        if (write(fd, bytes, (size_t)length) != length)
            return 1;
    }
    return 0;
}

SEPARATE static pid_t start_peer(int listener) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char port[16];
    must("getsockname", getsockname(listener, (struct sockaddr *)&address, &length));
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0) {
        execl("/proc/self/exe", "tcp_peer", port, NULL);
        _exit(127);
    }
    return child;
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, value = 0, status = 0;
    socklen_t length = sizeof value;
    char text[16] = "";
    if (count > 1 && !strcmp(arguments[0], "tcp_peer"))
        return peer(atoi(arguments[1]));
    int listener = (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    must("bind", bind(listener, (struct sockaddr *)&address, sizeof address));
    must("listen", listen(listener, 1));
    pid_t child = start_peer(listener);
    int fd = (int)must("accept4", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    must("setsockopt", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    expect("write", 3, write(fd, "ABC", 3)); /* The answer arrives before, during or after the update. */
    update_here();
    expect("answer", 3, recv(fd, text, 3, MSG_WAITALL));
    expect_text("answer", "BCD", text);
    expect("write", 3, write(fd, "KLM", 3));
    expect("second answer", 3, recv(fd, text, 3, MSG_WAITALL));
    expect_text("second answer", "LMN", text);
    must("getsockopt", getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length));
    expect("TCP_NODELAY", 1, value);
    close(fd); /* The peer ends only if no copy of the socket is left. */
    must("waitpid", waitpid(child, &status, 0));
    expect("exit status of the peer", 0, status);
    return finish();
}

/* Socket pairs keep queued bytes, message boundaries and a direction that was shut down. */
#include "check.h"
#include <sys/socket.h>

int main(void) {
    int stream[2], datagram[2], half[2], size = 0, wanted = 65536;
    socklen_t length = sizeof size;
    char text[64] = "";
    must("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream));
    must("socketpair", socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagram));
    must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, half));
    must("setsockopt", setsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted));
    expect("write", 6, write(stream[0], "queued", 6));
    expect("write", 5, write(stream[1], "back", 5));
    expect("send", 4, send(datagram[0], "one", 4, 0));
    expect("send", 6, send(datagram[0], "three", 6, 0));
    expect("write", 5, write(half[0], "last", 5));
    must("shutdown", shutdown(half[0], SHUT_WR));
    update_here();
    expect("read", 6, read(stream[1], text, sizeof text));
    expect_true("bytes", !memcmp(text, "queued", 6));
    expect("read", 5, read(stream[0], text, sizeof text));
    expect_text("the other way", "back", text);
    expect("nothing more", EAGAIN, read(stream[0], text, 1) == -1 ? errno : 0);
    expect("first message", 4, recv(datagram[1], text, sizeof text, 0));
    expect_text("first message", "one", text);
    expect("second message", 6, recv(datagram[1], text, sizeof text, 0));
    expect_text("second message", "three", text);
    expect("read", 5, read(half[1], text, sizeof text));
    expect_text("before the shutdown", "last", text);
    expect("end of file", 0, read(half[1], text, sizeof text));
    must("getsockopt", getsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, &length));
    expect("send buffer", 2 * wanted, size);
    return finish();
}

/* Threads blocked in recv, recvmsg and recvfrom on sockets inside the process. */
#include "check.h"
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static int stream[2], datagram[2], packets[2];
static _Atomic pid_t tids[3];
static char buffers[3][64];
static _Atomic int results[3];

static void *receive(void *unused) {
    (void)unused;
    tids[0] = gettid();
    results[0] = (int)recv(stream[0], buffers[0], 64, 0);
    return NULL;
}

static void *receive_message(void *unused) {
    struct iovec parts[2] = {{buffers[1], 4}, {buffers[1] + 4, 60}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    (void)unused;
    tids[1] = gettid();
    results[1] = (int)recvmsg(datagram[0], &message, 0);
    expect("not truncated", 0, message.msg_flags & MSG_TRUNC);
    return NULL;
}

static void *receive_from(void *unused) {
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    (void)unused;
    tids[2] = gettid();
    results[2] = (int)recvfrom(packets[0], buffers[2], 64, 0, (struct sockaddr *)&from, &length);
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    must("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
    must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
    must_be_zero("pthread_create", pthread_create(&threads[0], NULL, receive, NULL));
    must_be_zero("pthread_create", pthread_create(&threads[1], NULL, receive_message, NULL));
    must_be_zero("pthread_create", pthread_create(&threads[2], NULL, receive_from, NULL));
    await_syscall(&tids[0], SYS_recvfrom);
    await_syscall(&tids[1], SYS_recvmsg);
    await_syscall(&tids[2], SYS_recvfrom);
    update_here();
    expect("nothing received", 0, results[0] + results[1] + results[2]);
    expect("send", 7, send(stream[1], "stream", 7, 0));
    expect("send", 9, send(datagram[1], "datagram", 9, 0));
    expect("send", 7, send(packets[1], "packet", 7, 0));
    for (int i = 0; i < 3; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    expect("recv", 7, results[0]);
    expect("recvmsg", 9, results[1]);
    expect("recvfrom", 7, results[2]);
    expect_text("stream", "stream", buffers[0]);
    expect_text("datagram", "datagram", buffers[1]);
    expect_text("packet", "packet", buffers[2]);
    return finish();
}

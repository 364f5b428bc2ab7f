/* A thread blocked in accept gets the first connection that comes after the update. */
#include "check.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

static int listener;
static _Atomic pid_t accepter_tid;
static struct sockaddr_in from;
static _Atomic int accepted = -1;

static void *accepter(void *unused) {
    socklen_t length = sizeof from;
    (void)unused;
    accepter_tid = gettid();
    accepted = accept(listener, (struct sockaddr *)&from, &length);
    return NULL;
}

int main(void) {
    pthread_t thread;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, mine;
    socklen_t length = sizeof address;
    char text[8] = "";
    listener = (int)must("socket", socket(AF_INET, SOCK_STREAM, 0));
    must("bind", bind(listener, (struct sockaddr *)&address, length));
    must("listen", listen(listener, 5));
    must("getsockname", getsockname(listener, (struct sockaddr *)&address, &length));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, accepter, NULL));
    await_syscall(&accepter_tid, SYS_accept);
    update_here();
    expect("nothing accepted", -1, accepted);
    int client = (int)must("socket", socket(AF_INET, SOCK_STREAM, 0));
    must("connect", connect(client, (struct sockaddr *)&address, length));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect_true("accepted", accepted >= 0);
    must("getsockname", getsockname(client, (struct sockaddr *)&mine, &length));
    expect("peer's port", ntohs(mine.sin_port), ntohs(from.sin_port));
    expect("write", 5, write(client, "four", 5));
    expect("read", 5, read(accepted, text, sizeof text));
    expect_text("bytes", "four", text);
    return finish();
}

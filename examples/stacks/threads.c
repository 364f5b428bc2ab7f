/* 64 threads, eight in each of eight system calls, in functions that all change. A line on standard input is a round: each thread is given one
 * thing to do, and the answer says how many did it and what failed. Sleepers take their rounds by themselves. Each round is told
 * the version of the code that took it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum kind { READ, RECVMSG, POLL, EPOLL, CONDITION, SLEEP, ACCEPT, SIGNAL, KINDS };
enum { EACH = 8, THREADS = KINDS * EACH, SLEEP_NS = 20000000 };
static const char *const names[KINDS] = {"read", "recvmsg", "poll", "epoll_wait", "futex", "nanosleep", "accept", "sigtimedwait"};

struct worker {
    enum kind kind;
    pthread_t thread;
    int in, out, epoll; /* pipe, socket pair or listener */
    struct sockaddr_in address;
    pthread_mutex_t lock;
    pthread_cond_t told;
    int orders;
    sigset_t wanted;
    atomic_uint done, interrupted; /* rounds that the thread has taken, and calls that were interrupted */
};

static struct worker workers[THREADS];
static atomic_uint failures, interruptions;
/* Rounds by the version of the code that took them. */
static atomic_uint rounds_of_version[3];

static int __attribute__((noinline)) take_byte(int fd) {
    char byte;
    return read(fd, &byte, 1) == 1;
}

static long __attribute__((noinline)) now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Notes a round. EINTR is counted by itself: a signal without a handler may cause it in some calls. */
static void __attribute__((noinline)) is_done(struct worker *own, int is_right, long result, unsigned rounds, int version) {
    int error = errno;
    unsigned done = atomic_load(&own->done) + atomic_load(&own->interrupted) + 1;
    if (is_right && done == rounds) {
        atomic_fetch_add(&own->done, 1);
        atomic_fetch_add(&rounds_of_version[version], 1);
    } else if (result < 0 && error == EINTR && done == rounds) {
        atomic_fetch_add(&own->interrupted, 1);
        atomic_fetch_add(&interruptions, 1);
    } else {
        atomic_fetch_add(&failures, 1);
        printf("FAIL: %s returned %ld (%s) in round %u, expected %u\n", names[own->kind], result, strerror(error), rounds, done);
        fflush(stdout);
        sleep(1);
    }
}

static void *reader(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        char byte;
        ssize_t got = read(own->in, &byte, 1);
        is_done(own, got == 1, got, rounds, VERSION);
    }
    return NULL;
}

static void *receiver(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        char bytes[16] = "";
        struct iovec vector = {bytes, sizeof bytes};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        ssize_t got = recvmsg(own->in, &message, 0);
        is_done(own, got == 5 && !memcmp(bytes, "order", 5), got, rounds, VERSION);
    }
    return NULL;
}

static void *poller(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        struct pollfd watched = {.fd = own->in, .events = POLLIN};
        int ready = poll(&watched, 1, 3600000);
        is_done(own, ready == 1 && watched.revents == POLLIN && take_byte(own->in), ready, rounds, VERSION);
    }
    return NULL;
}

static void *epoll_waiter(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        struct epoll_event event;
        int ready = epoll_wait(own->epoll, &event, 1, -1);
        is_done(own, ready == 1 && event.data.ptr == own && take_byte(own->in), ready, rounds, VERSION);
    }
    return NULL;
}

static void *condition_waiter(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        int error = 0;
        pthread_mutex_lock(&own->lock);
        while (!own->orders && !error)
            error = pthread_cond_wait(&own->told, &own->lock);
        own->orders--;
        pthread_mutex_unlock(&own->lock);
        is_done(own, !error, error, rounds, VERSION);
    }
    return NULL;
}

static void *sleeper(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        struct timespec duration = {0, SLEEP_NS};
        long before = now();
        int result = nanosleep(&duration, NULL);
        is_done(own, result == 0 && now() - before >= SLEEP_NS, result, rounds, VERSION);
    }
    return NULL;
}

static void *accepter(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        int fd = accept(own->in, (struct sockaddr *)&peer, &length);
        is_done(own, fd >= 0 && close(fd) == 0, fd, rounds, VERSION);
    }
    return NULL;
}

static void *signal_waiter(void *argument) {
    struct worker *own = argument;
    for (unsigned rounds = 1;; rounds++) {
        siginfo_t info;
        struct timespec limit = {3600, 0};
        int number = sigtimedwait(&own->wanted, &info, &limit);
        is_done(own, number == SIGUSR1, number, rounds, VERSION);
    }
    return NULL;
}

static void must(const char *what, int is_right) {
    if (is_right)
        return;
    printf("FAIL: %s (%s)\n", what, strerror(errno));
    exit(2);
}

static void listen_anywhere(struct worker *own) {
    socklen_t length = sizeof own->address;
    own->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    own->in = socket(AF_INET, SOCK_STREAM, 0);
    must("bind", own->in >= 0 && bind(own->in, (struct sockaddr *)&own->address, length) == 0);
    must("listen", listen(own->in, 8) == 0 && getsockname(own->in, (struct sockaddr *)&own->address, &length) == 0);
}

static void __attribute__((noinline)) start(struct worker *own) {
    static void *(*const bodies[KINDS])(void *) = {reader,  receiver, poller,   epoll_waiter, condition_waiter,
                                                   sleeper, accepter, signal_waiter};
    int ends[2];
    switch (own->kind) {
    case READ:
    case POLL:
    case EPOLL:
        must("pipe", pipe(ends) == 0);
        own->in = ends[0], own->out = ends[1];
        break;
    case RECVMSG:
        must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
        own->in = ends[0], own->out = ends[1];
        break;
    case ACCEPT:
        listen_anywhere(own);
        break;
    default:
        break;
    }
    if (own->kind == EPOLL) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = own};
        own->epoll = epoll_create1(0);
        must("epoll", own->epoll >= 0 && epoll_ctl(own->epoll, EPOLL_CTL_ADD, own->in, &event) == 0);
    }
    sigemptyset(&own->wanted);
    sigaddset(&own->wanted, SIGUSR1);
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->told, NULL);
    must("pthread_create", pthread_create(&own->thread, NULL, bodies[own->kind], own) == 0);
}

/* Gives a thread one thing to do. */
static void __attribute__((noinline)) order(struct worker *own) {
    int fd;
    switch (own->kind) {
    case RECVMSG:
        must("send", send(own->out, "order", 5, 0) == 5);
        break;
    case CONDITION:
        pthread_mutex_lock(&own->lock);
        own->orders++;
        pthread_cond_signal(&own->told);
        pthread_mutex_unlock(&own->lock);
        break;
    case ACCEPT:
        fd = socket(AF_INET, SOCK_STREAM, 0);
        must("connect", fd >= 0 && connect(fd, (struct sockaddr *)&own->address, sizeof own->address) == 0);
        close(fd);
        break;
    case SIGNAL:
        must("pthread_kill", pthread_kill(own->thread, SIGUSR1) == 0);
        break;
    case SLEEP:
        break;
    default:
        must("write", write(own->out, "x", 1) == 1);
    }
}

/* Whether the thread has done what it was told, waiting for it. */
static int __attribute__((noinline)) has_done(struct worker *own, unsigned expected) {
    struct timespec moment = {0, 1000000};
    for (int tries = 0; own->done < expected && tries < 10000; tries++)
        nanosleep(&moment, NULL);
    return own->kind == SLEEP ? own->done >= expected : own->done == expected;
}

int main(void) {
    sigset_t set;
    char line[32];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < THREADS; i++) {
        workers[i].kind = i % KINDS;
        start(&workers[i]);
    }
    printf("ready\n");
    fflush(stdout);
    for (unsigned round = 1; fgets(line, sizeof line, stdin) && line[0] != 'q'; round++) {
        unsigned done = 0, asleep[THREADS];
        for (int i = 0; i < THREADS; i++) {
            asleep[i] = workers[i].done + 1;
            order(&workers[i]);
        }
        for (int i = 0; i < THREADS; i++)
            done += has_done(&workers[i], workers[i].kind == SLEEP ? asleep[i] : round);
        printf("round %u done %u failures %u interruptions %u in new code %u\n", round, done, failures, interruptions, rounds_of_version[2]);
        fflush(stdout);
    }
    return 0;
}

/* Start and end: options, signals, timers, exit. */
#include "kvd.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

uint64_t started_us;

static void waker_ready(struct source *source);
static struct source waker = {-1, waker_ready};

/* What a signal asks the main loop to do. The flush timer carries the address of its own one. */
static struct request {
    volatile sig_atomic_t pending;
    void (*act)(void);
} reopen_log = {0, log_reopen}, show_stats = {0, stats_log}, flush_log = {0, log_flush}, stop = {0, NULL};

static void handle_signal(int number, siginfo_t *info, void *context)
{
    static const uint64_t one = 1;
    int saved = errno;
    struct request *request = info->si_code == SI_TIMER ? info->si_value.sival_ptr
                              : number == SIGHUP        ? &reopen_log
                              : number == SIGUSR1       ? &show_stats
                                                        : &stop;
    (void)context;
    request->pending = 1;
    if (write(waker.fd, &one, sizeof one) < 0 && errno != EAGAIN)
        _exit(1);
    errno = saved;
}

static void run_request(struct request *request)
{
    if (request->pending) {
        request->pending = 0;
        request->act();
    }
}

static void waker_ready(struct source *source)
{
    uint64_t count;
    if (read(source->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        die("reading the waker");
    run_request(&flush_log);
    run_request(&reopen_log);
    run_request(&show_stats);
    if (stop.pending)
        exit(0);
}

static void handle_signals(void)
{
    static const int handled[] = {SIGHUP, SIGUSR1, SIGTERM, SIGINT};
    static timer_t flush_timer;
    struct sigaction action = {.sa_sigaction = handle_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = &flush_log};
    struct itimerspec every = {{0, FLUSH_INTERVAL_MS * 1000000L}, {0, FLUSH_INTERVAL_MS * 1000000L}};

    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaction(handled[i], &action, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (timer_create(CLOCK_MONOTONIC, &event, &flush_timer) < 0 || timer_settime(flush_timer, 0, &every, NULL) < 0)
        die("the flush timer");
}

static void say_goodbye(void)
{
    stats_log();
    log_line("kvd %s: stopped after %lu s", KVD_VERSION, (unsigned long)((now_us() - started_us) / 1000000));
    log_close();
}

static unsigned number(const char *text, unsigned min, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || end == text || value < min || value > max) {
        fprintf(stderr, "kvd: '%s' is no number from %u to %u\n", text, min, max);
        exit(2);
    }
    return value;
}

void setup(int argc, char **argv)
{
    sigset_t all, before;

    if (argc != 4) {
        fprintf(stderr, "usage: kvd PORT WORKERS LOG-FILE   (port 0: any free one)\n");
        exit(2);
    }
    started_us = now_us();
    log_open(argv[3]);
    atexit(say_goodbye);
    store_init();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    waker.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd < 0 || waker.fd < 0)
        die("epoll and eventfd");
    source_watch(&waker, EPOLLIN, EPOLL_CTL_ADD);

    /* Workers inherit a mask that leaves every signal to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pool_start(number(argv[2], 1, MAX_WORKERS));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    handle_signals();
    net_listen(number(argv[1], 0, 65535));
}

/* Start and end: options, signals, timers, exit. */
#include "kvd.h"

static void waker_ready(struct source *source);
static struct source waker = {-1, waker_ready};

/* What a signal asks the main loop to do; nothing: to end. The flush timer carries the address of its own one. */
static struct request {
    int signal;
    volatile sig_atomic_t pending;
    void (*act)(void);
} requests[] = {{SIGHUP, 0, log_open}, {SIGUSR1, 0, stats_log}, {SIGTERM, 0, NULL}, {SIGALRM, 0, log_flush}};
enum { REQUESTS = sizeof requests / sizeof *requests };

uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void handle_signal(int number, siginfo_t *info, void *context) {
    static const uint64_t one = 1;
    int saved = errno;
    struct request *request = info->si_code == SI_TIMER ? info->si_value.sival_ptr : requests;
    (void)context;
    while (request->signal != number)
        request++;
    request->pending = 1;
    if (write(waker.fd, &one, sizeof one) < 0 && errno != EAGAIN)
        _exit(1);
    errno = saved;
}

static void waker_ready(struct source *source) {
    uint64_t count;
    if (read(source->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        die("reading the waker");
    for (int i = 0; i < REQUESTS; i++)
        if (requests[i].pending) {
            requests[i].pending = 0;
            requests[i].act ? requests[i].act() : exit(0);
        }
}

static void handle_signals(void) {
    struct sigaction action = {.sa_sigaction = handle_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct request *flush = &requests[REQUESTS - 1];
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = flush->signal, .sigev_value.sival_ptr = flush};
    struct itimerspec every = {{0, 500000000}, {0, 500000000}};
    timer_t timer;

    for (int i = 0; i < REQUESTS; i++)
        sigaction(requests[i].signal, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &every, NULL) < 0)
        die("the flush timer");
}

static void say_goodbye(void) {
    log_line("kvd %s: stopped after %u commands", KVD_VERSION, atomic_load(&stat_commands));
}

void setup(int argc, char **argv) {
    sigset_t all, before;
    int workers = argc == 4 ? atoi(argv[2]) : 0;
    if (workers < 1 || workers > MAX_WORKERS) {
        fprintf(stderr, "usage: kvd PORT WORKERS LOG-FILE   (port 0: any free one)\n");
        exit(2);
    }
    log_path = argv[3];
    log_open();
    atexit(say_goodbye);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    waker.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd < 0 || waker.fd < 0)
        die("epoll and eventfd");
    source_watch(&waker, EPOLLIN, EPOLL_CTL_ADD);
    /* Workers inherit a mask that leaves every signal to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pool_start(workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    handle_signals();
    net_listen(atoi(argv[1]));
}

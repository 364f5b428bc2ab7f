/* Pending signals, of the process and of one thread, with their values and their order. */
#include "check.h"
#include <signal.h>
#include <time.h>

static int target;
static sigset_t blocked;

SEPARATE static void queue_to_thread(int number, void *pointer) {
    siginfo_t info = {.si_signo = number, .si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    info.si_value.sival_ptr = pointer;
    must("rt_tgsigqueueinfo", syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, &info));
}

SEPARATE static void take(const char *what, int number, siginfo_t *info) {
    sigset_t one;
    struct timespec none = {0, 0};
    sigemptyset(&one);
    sigaddset(&one, number);
    memset(info, 0, sizeof *info);
    /* Not sigtimedwait(3), which turns SI_TKILL into SI_USER. */
    expect(what, number, syscall(SYS_rt_sigtimedwait, &one, info, &none, 8));
}

int main(void) {
    siginfo_t info;
    sigset_t pending, mask;
    sigemptyset(&blocked);
    int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN, SIGRTMIN + 1};
    for (int i = 0; i < 5; i++)
        sigaddset(&blocked, numbers[i]);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &blocked, NULL));
    must("kill", kill(getpid(), SIGTERM));
    must("tgkill", tgkill(getpid(), gettid(), SIGUSR1));
    for (int i = 0; i < 3; i++)
        must("sigqueue", sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i}));
    for (int i = 0; i < 2; i++)
        queue_to_thread(SIGRTMIN + 1, i ? &target : NULL);
    update_here();

    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 0; i < 5; i++)
        expect_true("blocked", sigismember(&mask, numbers[i]));
    expect_true("nothing else blocked", !sigismember(&mask, SIGHUP) && !sigismember(&mask, SIGINT));
    sigpending(&pending);
    expect_true("SIGTERM pending", sigismember(&pending, SIGTERM));
    expect_true("SIGUSR2 not pending", !sigismember(&pending, SIGUSR2));
    take("SIGTERM", SIGTERM, &info);
    expect("sender of SIGTERM", getpid(), info.si_pid);
    expect("code of SIGTERM", SI_USER, info.si_code);
    take("SIGUSR1", SIGUSR1, &info);
    expect("code of SIGUSR1", SI_TKILL, info.si_code);
    for (int i = 0; i < 3; i++) {
        take("queued signal", SIGRTMIN, &info);
        expect("value of it", 100 + i, info.si_value.sival_int);
    }
    for (int i = 0; i < 2; i++) {
        take("queued to the thread", SIGRTMIN + 1, &info);
        expect_pointer("value of it", i ? &target : NULL, info.si_value.sival_ptr);
    }
    sigpending(&pending);
    for (int i = 0; i < 5; i++)
        expect_true("nothing left", !sigismember(&pending, numbers[i]));
    return finish();
}

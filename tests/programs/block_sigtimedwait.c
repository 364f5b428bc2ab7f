/* Threads in sigtimedwait and sigsuspend take the signal that is sent after the update. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

static _Atomic pid_t wait_tid, suspend_tid;
static _Atomic int received, value, suspended, handler_version;
static sigset_t both;

SEPARATE static void on_signal(int number) { handler_version = number == SIGUSR2 ? version() : -1; }

static void *waiter(void *unused) {
    siginfo_t info = {0};
    struct timespec limit = {3600, 0};
    sigset_t one;
    (void)unused;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    wait_tid = gettid();
    received = sigtimedwait(&one, &info, &limit);
    value = info.si_value.sival_int;
    return NULL;
}

static void *suspender(void *unused) {
    sigset_t none;
    (void)unused;
    sigemptyset(&none);
    suspend_tid = gettid();
    suspended = sigsuspend(&none) == -1 ? errno : 0;
    return NULL;
}

int main(void) {
    pthread_t waiting, suspending;
    struct sigaction action = {.sa_handler = on_signal};
    must("sigaction", sigaction(SIGUSR2, &action, NULL));
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &both, NULL));
    must_be_zero("pthread_create", pthread_create(&waiting, NULL, waiter, NULL));
    must_be_zero("pthread_create", pthread_create(&suspending, NULL, suspender, NULL));
    await_syscall(&wait_tid, SYS_rt_sigtimedwait);
    await_syscall(&suspend_tid, SYS_rt_sigsuspend);
    update_here();
    expect("nothing yet", 0, received + suspended);
    must_be_zero("pthread_sigqueue", pthread_sigqueue(waiting, SIGUSR1, (union sigval){.sival_int = 55}));
    must_be_zero("pthread_kill", pthread_kill(suspending, SIGUSR2));
    must_be_zero("pthread_join", pthread_join(waiting, NULL));
    must_be_zero("pthread_join", pthread_join(suspending, NULL));
    expect("signal", SIGUSR1, received);
    expect("value", 55, value);
    expect("sigsuspend", EINTR, suspended);
    expect("version of the handler", version(), handler_version);
    return finish();
}

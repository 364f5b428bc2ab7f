/* A signal descriptor keeps its mask and what is pending for it. */
#include "check.h"
#include <signal.h>
#include <sys/signalfd.h>

int main(void) {
    sigset_t mask;
    struct signalfd_siginfo info;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGRTMIN + 3);
    must("sigprocmask", sigprocmask(SIG_BLOCK, &mask, NULL));
    int fd = (int)must("signalfd", signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC));
    must("sigqueue", sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 99}));
    update_here();
    expect("read", sizeof info, read(fd, &info, sizeof info));
    expect("signal", SIGRTMIN + 3, info.ssi_signo);
    expect("value", 99, info.ssi_int);
    expect("sender", getpid(), info.ssi_pid);
    expect("nothing more", -1, read(fd, &info, sizeof info));
    must("kill", kill(getpid(), SIGUSR1));
    expect("read", sizeof info, read(fd, &info, sizeof info));
    expect("signal", SIGUSR1, info.ssi_signo);
    return finish();
}

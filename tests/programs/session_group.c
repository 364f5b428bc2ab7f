/* Session, process group and parent stay. */
#include "check.h"
#include <sys/wait.h>

int main(void) {
    pid_t parent = getppid(), pid = getpid(), tid = gettid();
    pid_t session = getsid(0), group = getpgrp();
    update_here();
    expect("process ID", pid, getpid());
    expect("thread ID", tid, (pid_t)syscall(SYS_gettid));
    expect("parent", parent, getppid());
    expect("session", session, getsid(0));
    expect("process group", group, getpgrp());
    return finish();
}

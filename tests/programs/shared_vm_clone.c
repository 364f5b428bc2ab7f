/* Another process shares the memory (CLONE_VM without CLONE_THREAD): an update would pull it from under that one. Refused. */
#include "check.h"
#include <signal.h>
#include <sys/wait.h>

static char stack[65536];
static int gate[2];
static _Atomic pid_t child_tid;

static int child(void *unused) {
    char byte;
    (void)unused;
    child_tid = (pid_t)syscall(SYS_getpid);
    return read(gate[0], &byte, 1) == 1 ? 0 : 1;
}

int main(void) {
    int status = 0;
    must("pipe", pipe(gate));
    pid_t pid = (pid_t)must("clone", clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    await_syscall_of(pid, &child_tid, SYS_read);
    update_here();
    expect("release", 1, write(gate[1], "x", 1));
    must("waitpid", waitpid(pid, &status, 0));
    expect("child's status", 0, status);
    return finish();
}

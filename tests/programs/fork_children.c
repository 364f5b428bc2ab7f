/* Children forked before the update stay on the old version and end right; children forked after it are new. */
#include "check.h"
#include <sys/wait.h>

static int value = 1;

SEPARATE static int child(int gate) {
    char byte;
    if (read(gate, &byte, 1) != 1)
        return 100;
    return value * 10 + version();
}

SEPARATE static pid_t start_child(int gate[2]) {
    must("pipe", pipe(gate));
    pid_t pid = (pid_t)must("fork", fork());
    if (pid == 0) {
        close(gate[1]);
        _exit(child(gate[0]));
    }
    close(gate[0]);
    return pid;
}

SEPARATE static int end_child(pid_t pid, int gate[2]) {
    int status = 0;
    expect("release", 1, write(gate[1], "x", 1));
    must("waitpid", waitpid(pid, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int main(void) {
    int before_gate[2], after_gate[2], before_version = version();
    pid_t before = start_child(before_gate);
    value = 2;
    update_here();
    value = 3;
    pid_t after = start_child(after_gate);
    expect("the child from before, its own value and version", 10 + before_version, end_child(before, before_gate));
    expect("the child from after", 30 + version(), end_child(after, after_gate));
    return finish();
}

/* A session leader without a terminal, made in a child of the first process, stays one. */
#include "check.h"
#include <sys/wait.h>

int main(void) {
    if (getpid() != getsid(0)) { /* The driver starts this program as the leader of a group; setsid() needs another child. */
        setpgid(0, getpgid(getppid()));
        must("setsid", setsid());
    }
    update_here();
    expect("session", getpid(), getsid(0));
    expect("process group", getpid(), getpgrp());
    expect("setsid again", -1, setsid());
    return finish();
}

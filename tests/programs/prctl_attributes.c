/* What prctl sets: name, timer slack, parent-death signal, subreaper, dumpable, keep-capabilities, no-new-privileges. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

static int gate[2];
static _Atomic pid_t worker_tid;

static void *worker(void *unused) {
    char byte, name[16] = "";
    (void)unused;
    must("PR_SET_NAME", prctl(PR_SET_NAME, "a worker"));
    must("PR_SET_TIMERSLACK", prctl(PR_SET_TIMERSLACK, 77777));
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    must("PR_GET_NAME", prctl(PR_GET_NAME, name));
    expect_text("worker's name", "a worker", name);
    expect("worker's timer slack", 77777, prctl(PR_GET_TIMERSLACK));
    return NULL;
}

int main(void) {
    pthread_t thread;
    char name[16] = "";
    int value = 0;
    must("pipe", pipe(gate));
    must("PR_SET_NAME", prctl(PR_SET_NAME, "renamed"));
    must("PR_SET_TIMERSLACK", prctl(PR_SET_TIMERSLACK, 123456));
    must("PR_SET_PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGUSR2));
    must("PR_SET_CHILD_SUBREAPER", prctl(PR_SET_CHILD_SUBREAPER, 1));
    must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must("PR_SET_THP_DISABLE", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    update_here();
    must("PR_GET_NAME", prctl(PR_GET_NAME, name));
    expect_text("name", "renamed", name);
    expect("timer slack", 123456, prctl(PR_GET_TIMERSLACK));
    must("PR_GET_PDEATHSIG", prctl(PR_GET_PDEATHSIG, &value));
    expect("parent-death signal", SIGUSR2, value);
    must("PR_GET_CHILD_SUBREAPER", prctl(PR_GET_CHILD_SUBREAPER, &value));
    expect("subreaper", 1, value);
    expect("no new privileges", 1, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    expect("huge pages disabled", 1, prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    expect("dumpable", 1, prctl(PR_GET_DUMPABLE));
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    return finish();
}

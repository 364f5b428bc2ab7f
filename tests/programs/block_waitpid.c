/* A thread in waitpid gets the status of a child, another program, that ends after the update. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static pid_t child;
static _Atomic pid_t waiter_tid;
static _Atomic int reaped, status;

static void *waiter(void *unused) {
    int raw = 0;
    (void)unused;
    waiter_tid = gettid();
    reaped = waitpid(child, &raw, 0);
    status = raw;
    return NULL;
}

int main(void) {
    int gate[2];
    pthread_t thread;
    posix_spawn_file_actions_t actions;
    char *arguments[] = {"sh", "-c", "read line; exit 42", NULL};
    must("pipe2", pipe2(gate, O_CLOEXEC));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, gate[0], 0);
    must_be_zero("posix_spawn", posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, waiter, NULL));
    await_syscall(&waiter_tid, SYS_wait4);
    update_here();
    expect("still waiting", 0, reaped);
    expect("child is alive", 0, kill(child, 0));
    expect("release", 1, write(gate[1], "\n", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("child", child, reaped);
    expect_true("ended by itself", WIFEXITED(status));
    expect("exit status", 42, WEXITSTATUS(status));
    return finish();
}

/* A pipe to another program: its end stays open through the update, and closes when this program closes it. */
#include "check.h"
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(void) {
    int to[2], from[2], status = 0;
    pid_t child;
    char text[16] = "";
    char *arguments[] = {"cat", NULL};
    posix_spawn_file_actions_t actions;
    must("pipe2", pipe2(to, O_CLOEXEC));
    must("pipe2", pipe2(from, O_CLOEXEC));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    must_be_zero("posix_spawnp", posix_spawnp(&child, "cat", &actions, NULL, arguments, environ));
    close(to[0]);
    close(from[1]);
    update_here();
    expect("write", 6, write(to[1], "hello", 6));
    expect("read", 6, read(from[0], text, sizeof text));
    expect_text("echo", "hello", text);
    close(to[1]); /* Any copy of this end that was left open anywhere would keep cat from ending. */
    expect("end of file", 0, read(from[0], text, sizeof text));
    must("waitpid", waitpid(child, &status, 0));
    expect("exit status of cat", 0, status);
    return finish();
}

/* Shared anonymous memory, seen by a child that was forked before, stays shared with it. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

struct shared {
    _Atomic int from_parent, from_child;
    char text[4096];
};

int main(void) {
    int gate[2], status = 0;
    char byte;
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must("mmap", shared == MAP_FAILED ? -1 : 0);
    strcpy(shared->text, "before");
    must("pipe", pipe(gate));
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1 || shared->from_parent != 5)
            _exit(1);
        shared->from_child = 6;
        _exit(0);
    }
    update_here();
    expect_text("text", "before", shared->text);
    shared->from_parent = 5;
    expect("release", 1, write(gate[1], "x", 1));
    must("waitpid", waitpid(child, &status, 0));
    expect("child's status", 0, status);
    expect("what the child wrote", 6, shared->from_child);
    return finish();
}

/* Duplicates share one position and its flags, also across fork; a second open of the same file does not. */
#include "check.h"
#include <sys/wait.h>

int main(void) {
    char text[8] = "";
    int gate[2], status = 0;
    int first = (int)must("open", open("file", O_RDWR | O_CREAT, 0600));
    int second = (int)must("dup", dup(first)), separate = (int)must("open", open("file", O_RDWR));
    int third = (int)must("F_DUPFD_CLOEXEC", fcntl(first, F_DUPFD_CLOEXEC, 50));
    must("pipe", pipe(gate));
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0) { /* Shares the position with its parent; moves it when told. */
        close(gate[1]);
        _exit(read(gate[0], text, 1) == 1 && lseek(first, 3, SEEK_SET) == 3 ? 0 : 1);
    }
    expect("write", 10, write(first, "0123456789", 10));
    update_here();
    expect("second", 10, lseek(second, 0, SEEK_CUR));
    expect("separate", 0, lseek(separate, 0, SEEK_CUR));
    expect("lseek", 5, lseek(second, 5, SEEK_SET));
    expect("first", 5, lseek(first, 0, SEEK_CUR));
    expect("third", 5, lseek(third, 0, SEEK_CUR));
    must("F_SETFL", fcntl(third, F_SETFL, O_APPEND));
    expect("flags are shared", O_APPEND, fcntl(first, F_GETFL) & O_APPEND);
    expect("flags of the other", 0, fcntl(separate, F_GETFL) & O_APPEND);
    expect("close-on-exec is not", 0, fcntl(first, F_GETFD));
    expect("release", 1, write(gate[1], "x", 1));
    must("waitpid", waitpid(child, &status, 0));
    expect("child's status", 0, status);
    expect("position that the child set", 3, lseek(first, 0, SEEK_CUR));
    return finish();
}

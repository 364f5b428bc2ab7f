/* Locks of all three kinds stay with their owner through the update, without a moment in which another could take them. */
#include "check.h"
#include <sys/file.h>
#include <sys/wait.h>

static int bsd, posix, ofd;

static struct flock range(short type, long start, long length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

/* In a child: which of the locks can another process take? One bit for each that it cannot. */
SEPARATE static int blocked_for_a_child(void) {
    int status = 0;
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0) {
        struct flock whole = range(F_WRLCK, 0, 0);
        int result = 0, other = open("bsd", O_RDWR);
        result |= flock(other, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK ? 1 : 0;
        result |= fcntl(posix, F_GETLK, &whole) == 0 && whole.l_type == F_WRLCK && whole.l_pid == getppid() ? 2 : 0;
        result |= whole.l_start == 10 && whole.l_len == 20 ? 4 : 0;
        other = open("ofd", O_RDWR);
        whole = range(F_WRLCK, 0, 0);
        result |= fcntl(other, F_OFD_SETLK, &whole) && errno == EAGAIN ? 8 : 0;
        _exit(result);
    }
    must("waitpid", waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
    struct flock lock = range(F_WRLCK, 10, 20);
    bsd = (int)must("open", open("bsd", O_RDWR | O_CREAT, 0600));
    posix = (int)must("open", open("posix", O_RDWR | O_CREAT, 0600));
    ofd = (int)must("open", open("ofd", O_RDWR | O_CREAT, 0600));
    must("flock", flock(bsd, LOCK_EX));
    must("F_SETLK", fcntl(posix, F_SETLK, &lock));
    lock = range(F_RDLCK, 0, 100);
    must("F_OFD_SETLK", fcntl(ofd, F_OFD_SETLK, &lock));
    expect("locks before", 15, blocked_for_a_child());
    update_here();
    expect("locks after", 15, blocked_for_a_child());
    must("flock", flock(bsd, LOCK_UN));
    lock = range(F_UNLCK, 0, 0);
    must("F_SETLK", fcntl(posix, F_SETLK, &lock));
    close(ofd);
    expect("locks after they were given up", 0, blocked_for_a_child());
    return finish();
}

/* Pipes keep their bytes, capacity and flags, FIFOs too; a packet pipe keeps its packet boundaries. */
#include "check.h"
#include <sys/stat.h>

int main(void) {
    int plain[2], packets[2], empty[2];
    char buffer[256];
    must("pipe2", pipe2(plain, O_NONBLOCK | O_CLOEXEC));
    must("pipe2", pipe2(packets, O_DIRECT));
    must("pipe2", pipe2(empty, O_NONBLOCK));
    must("mkfifo", mkfifo("fifo", 0600));
    int fifo = (int)must("open", open("fifo", O_RDWR | O_NONBLOCK));
    must("F_SETPIPE_SZ", fcntl(plain[1], F_SETPIPE_SZ, 1 << 17));
    static char large[100000];
    fill_pattern(large, sizeof large, 1);
    expect("write", sizeof large, write(plain[1], large, sizeof large));
    expect("write", 4, write(packets[1], "one", 4));
    expect("write", 6, write(packets[1], "three", 6));
    expect("write", 5, write(fifo, "fifo", 5));
    memset(large, 0, sizeof large);
    update_here();
    expect("capacity", 1 << 17, fcntl(plain[0], F_GETPIPE_SZ));
    size_t total = 0;
    for (ssize_t got; (got = read(plain[0], large + total, sizeof large - total)) > 0;)
        total += (size_t)got;
    expect("bytes", sizeof large, (long long)total);
    expect_pattern("bytes", large, sizeof large, 1);
    expect("nothing more", EAGAIN, read(plain[0], buffer, 1) == -1 ? errno : 0);
    expect("first packet", 4, read(packets[0], buffer, sizeof buffer));
    expect_text("first packet", "one", buffer);
    expect("second packet", 6, read(packets[0], buffer, sizeof buffer));
    expect_text("second packet", "three", buffer);
    expect("FIFO", 5, read(fifo, buffer, sizeof buffer));
    expect_text("FIFO", "fifo", buffer);
    expect("empty pipe", EAGAIN, read(empty[0], buffer, 1) == -1 ? errno : 0);
    expect("close-on-exec", FD_CLOEXEC, fcntl(plain[0], F_GETFD));
    expect("no close-on-exec", 0, fcntl(packets[0], F_GETFD));
    close(plain[1]);
    expect("end of file", 0, read(plain[0], buffer, 1));
    return finish();
}

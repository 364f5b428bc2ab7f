/* Files keep their position, mode and status flags; a sparse file and one beyond 4 GiB too. */
#include "check.h"
#include <sys/stat.h>

int main(void) {
    char text[16] = "";
    int reader, writer, high;
    writer = (int)must("open", open("file", O_RDWR | O_CREAT | O_TRUNC, 0640));
    expect("write", 10, write(writer, "0123456789", 10));
    reader = (int)must("open", open("file", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    expect("lseek", 4, lseek(reader, 4, SEEK_SET));
    high = (int)must("open", open("sparse", O_RDWR | O_CREAT, 0600));
    expect("lseek", 5LL << 30, lseek(high, 5LL << 30, SEEK_SET));
    expect("write", 3, write(high, "end", 3));
    int kept = (int)must("F_DUPFD", fcntl(reader, F_DUPFD, 900)); /* A high number with a gap below. */
    update_here();
    expect("position of the reader", 4, lseek(reader, 0, SEEK_CUR));
    expect("read", 6, read(reader, text, sizeof text));
    expect_text("rest", "456789", text);
    expect("position through the duplicate", 10, lseek(kept, 0, SEEK_CUR));
    expect("number of the duplicate", 900, kept);
    expect("position of the writer", 10, lseek(writer, 0, SEEK_CUR));
    expect("position beyond 4 GiB", (5LL << 30) + 3, lseek(high, 0, SEEK_CUR));
    expect("access mode", O_RDONLY, fcntl(reader, F_GETFL) & O_ACCMODE);
    expect("O_NONBLOCK", O_NONBLOCK, fcntl(reader, F_GETFL) & O_NONBLOCK);
    expect("close-on-exec", FD_CLOEXEC, fcntl(reader, F_GETFD));
    expect("no close-on-exec", 0, fcntl(kept, F_GETFD));
    expect("a closed number stays closed", -1, fcntl(899, F_GETFD));
    return finish();
}

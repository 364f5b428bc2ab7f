/* An append-only log that another program writes too: no line lost or overwritten. */
#include "check.h"
#include <sys/stat.h>

int main(void) {
    struct stat file;
    char text[128] = "";
    int log = (int)must("open", open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    expect("write", 7, write(log, "before\n", 7));
    int other = (int)must("open", open("log", O_WRONLY | O_APPEND));
    update_here();
    expect("write of the other", 6, write(other, "other\n", 6));
    expect("write", 6, write(log, "after\n", 6));
    expect("flags", O_WRONLY | O_APPEND, fcntl(log, F_GETFL) & (O_ACCMODE | O_APPEND));
    expect("position", 19, lseek(log, 0, SEEK_CUR));
    must("fstat", fstat(log, &file));
    expect("length", 19, file.st_size);
    int reader = (int)must("open", open("log", O_RDONLY));
    expect("read", 19, read(reader, text, sizeof text));
    expect_text("whole log", "before\nother\nafter\n", text);
    return finish();
}

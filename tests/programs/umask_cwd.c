/* The file mode mask and the working directory, also when that has been removed. */
#include "check.h"
#include <sys/stat.h>

int main(void) {
    struct stat status, before;
    char path[4096], expected[4200];
    must("getcwd", getcwd(path, sizeof path) ? 0 : -1);
    must("mkdir", mkdir("inner", 0700));
    must("chdir", chdir("inner"));
    snprintf(expected, sizeof expected, "%s/inner", path);
    umask(0137);
    must("stat", stat(".", &before));
    update_here();
    must("getcwd", getcwd(path, sizeof path) ? 0 : -1);
    expect_text("working directory", expected, path);
    int fd = (int)must("open", open("made", O_WRONLY | O_CREAT, 0777));
    must("fstat", fstat(fd, &status));
    expect("mode of a new file", 0640, status.st_mode & 0777);
    expect("mask", 0137, umask(0137));
    must("stat", stat("../inner/made", &status));
    must("stat", stat(".", &status));
    expect("inode of the directory", (long long)before.st_ino, (long long)status.st_ino);
    return finish();
}

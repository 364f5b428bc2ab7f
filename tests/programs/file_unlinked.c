/* An open file without a name keeps its content, its position and its mapping. */
#include "check.h"
#include <sys/mman.h>
#include <sys/stat.h>

int main(void) {
    char text[32] = "";
    struct stat file;
    int fd = (int)must("open", open("unlinked", O_RDWR | O_CREAT, 0600));
    must("ftruncate", ftruncate(fd, 8192));
    expect("pwrite", 7, pwrite(fd, "content", 7, 0));
    char *mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must("mmap", mapped == MAP_FAILED ? -1 : 0);
    must("unlink", unlink("unlinked"));
    expect("lseek", 3, lseek(fd, 3, SEEK_SET));
    strcpy(mapped + 5000, "through the mapping");
    update_here();
    expect("read", 4, read(fd, text, 4));
    expect_text("content", "tent", text);
    must("fstat", fstat(fd, &file));
    expect("no name", 0, (long long)file.st_nlink);
    expect("length", 8192, file.st_size);
    expect("pread", 20, pread(fd, text, 20, 5000));
    expect_text("written through the mapping", "through the mapping", text);
    expect("pwrite", 4, pwrite(fd, "back", 4, 6000));
    expect_true("mapping and file are one", !memcmp(mapped + 6000, "back", 4));
    return finish();
}

/* A memory file, sealed, mapped shared and private: one content under all its names. */
#include "check.h"
#include <sys/mman.h>

#define SIZE (256 * 1024)

int main(void) {
    int fd = (int)must("memfd_create", memfd_create("dsu-test", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    must("ftruncate", ftruncate(fd, SIZE));
    unsigned char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unsigned char *copied = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    unsigned char *part = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 65536);
    must("mmap", shared == MAP_FAILED || copied == MAP_FAILED || part == MAP_FAILED ? -1 : 0);
    fill_pattern(shared, SIZE, 1);
    copied[4096] = 200;
    must("F_ADD_SEALS", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    update_here();
    expect("private page", 200, copied[4096]);
    copied[4096] = (unsigned char)shared[4096];
    expect_pattern("shared", shared, SIZE, 1);
    expect_pattern("private", copied, SIZE, 1);
    expect_true("part", !memcmp(part, shared + 65536, 8192));
    shared[65536 + 10] = 77;
    expect("one memory, two mappings", 77, part[10]);
    unsigned char byte = 0;
    expect("pread", 1, pread(fd, &byte, 1, 65536 + 10));
    expect("one memory, mapping and file", 77, byte);
    expect("seals", F_SEAL_SHRINK, fcntl(fd, F_GET_SEALS));
    expect("shrinking", EPERM, ftruncate(fd, 4096) ? errno : 0);
    must("ftruncate", ftruncate(fd, SIZE + 4096));
    return finish();
}

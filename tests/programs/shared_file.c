/* A file mapped shared and private, partly read-only, with a page past its end. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf after_fault;

SEPARATE static void on_bus(int number) { siglongjmp(after_fault, number); }

int main(void) {
    char text[16] = "";
    int fd = (int)must("open", open("mapped", O_RDWR | O_CREAT, 0600));
    must("ftruncate", ftruncate(fd, 3 * 4096));
    expect("pwrite", 6, pwrite(fd, "second", 6, 4096));
    char *shared = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *copied = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    must("mmap", shared == MAP_FAILED || copied == MAP_FAILED ? -1 : 0);
    must("mprotect", mprotect(shared + 8192, 4096, PROT_READ));
    strcpy(shared, "first");
    strcpy(copied + 8192, "my own");
    close(fd);
    signal(SIGBUS, on_bus);
    update_here();
    expect_text("shared page", "first", shared);
    expect_text("untouched page", "second", shared + 4096);
    expect_text("private page", "my own", copied + 8192);
    expect("the file has no such text", 0, shared[8192]);
    strcpy(shared + 100, "later");
    fd = (int)must("open", open("mapped", O_RDONLY));
    expect("pread", 6, pread(fd, text, 6, 100));
    expect_text("write through the mapping", "later", text);
    expect_text("untouched private page follows the file", "later", copied + 100);
    if (!sigsetjmp(after_fault, 1)) {
        expect("a page past the end", -1, ((volatile char *)shared)[3 * 4096]);
    } else if (!sigsetjmp(after_fault, 1)) {
        signal(SIGSEGV, on_bus);
        ((volatile char *)shared)[8192] = 1;
        expect_true("a read-only page", 0);
    }
    return finish();
}

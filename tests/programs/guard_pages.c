/* Pages without access, read-only and executable pages keep their protection and what is below it. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096
static sigjmp_buf after_fault;
static void *volatile fault_address;

SEPARATE static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    fault_address = info->si_addr;
    siglongjmp(after_fault, 1);
}

/* Whether reading (or writing) the byte faults. */
SEPARATE static int faults(volatile char *byte, int write) {
    if (sigsetjmp(after_fault, 1))
        return fault_address == byte;
    if (write)
        *byte = 1;
    else
        (void)*byte;
    return 0;
}

int main(void) {
    static const unsigned char code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3}; /* mov $42, %eax; ret */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    must("sigaction", sigaction(SIGSEGV, &action, NULL));
    char *pages = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *reserved = mmap(NULL, 1L << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must("mmap", pages == MAP_FAILED || reserved == MAP_FAILED ? -1 : 0);
    for (int i = 0; i < 5; i++)
        memset(pages + i * PAGE, '0' + i, PAGE);
    memcpy(pages + 3 * PAGE, code, sizeof code);
    must("mprotect", mprotect(pages + PAGE, PAGE, PROT_NONE));
    must("mprotect", mprotect(pages + 2 * PAGE, PAGE, PROT_READ));
    must("mprotect", mprotect(pages + 3 * PAGE, PAGE, PROT_READ | PROT_EXEC));
    update_here();
    expect("first page", '0', pages[0]);
    expect_true("no access", faults(pages + PAGE + 5, 0));
    expect_true("read-only", faults(pages + 2 * PAGE, 1));
    expect_true("readable", !faults(pages + 2 * PAGE, 0));
    expect_true("executable is not writable", faults(pages + 3 * PAGE, 1));
    expect("executable", 42, ((int (*)(void))(pages + 3 * PAGE))());
    expect("last page", '4', pages[5 * PAGE - 1]);
    expect_true("reserved space", faults(reserved + (1 << 29), 0));
    must("mprotect", mprotect(pages + PAGE, PAGE, PROT_READ));
    expect("content below the protection", '1', pages[PAGE + 7]);
    must("mprotect", mprotect(reserved, PAGE, PROT_READ | PROT_WRITE));
    reserved[0] = 1;
    return finish();
}

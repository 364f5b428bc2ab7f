/* Places that hold the address of an object which outgrows its block, and cannot follow: the kernel's record of an alternate stack
 * (STACK), memory that another process may share (SHARED), a message that nobody has taken (MESSAGE). */
#include "data.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { STACK_SIZE = 1 << 16 };
struct holder {
    struct holder *next;
    char stack[STACK_SIZE];
#if VERSION >= 2
    char name[1 << 12];
#endif
};
static struct holder *holders;
static struct holder **shared;
static int ends[2];

SEPARATE static void make(void) {
    struct holder *holder = holders = calloc(1, sizeof *holder);
#ifdef STACK
    stack_t stack = {.ss_sp = holder->stack, .ss_size = STACK_SIZE};
    must("sigaltstack", sigaltstack(&stack, NULL));
#endif
#ifdef SHARED
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    expect_true("shared memory", shared != MAP_FAILED);
    *shared = holder;
#endif
#ifdef MESSAGE
    must("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    must("send", send(ends[1], &holder, sizeof holder, 0));
#endif
}

SEPARATE static void check(void) {
    struct holder *found = holders;
#ifdef STACK
    stack_t stack;
    must("sigaltstack", sigaltstack(NULL, &stack));
    expect_pointer("alternate stack", holders->stack, stack.ss_sp);
#endif
#ifdef SHARED
    found = *shared;
#endif
#ifdef MESSAGE
    expect("recv", sizeof found, recv(ends[0], &found, sizeof found, 0));
#endif
    expect_pointer("holder", holders, found);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

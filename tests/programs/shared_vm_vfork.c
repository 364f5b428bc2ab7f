/* A thread is inside vfork: it does not stop until its child is done, and the memory is shared. Refused in time. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

static int gate[2], entered[2];
static _Atomic int status = -1;

/* Tells that it is there and waits, without a store in between: the memory, compared while the child waits, is the parent's. */
static inline __attribute__((always_inline)) void tell_and_wait(int out, int in, char *byte) {
    long number = SYS_write, length = 1, to = out;
    const char *text = "x";
    __asm__ volatile("syscall\n\tmov %4, %%rdi\n\tmov %5, %%rsi\n\tmov $1, %%edx\n\txor %%eax, %%eax\n\tsyscall"
                     : "+a"(number), "+D"(to), "+S"(text), "+d"(length)
                     : "r"((long)in), "r"(byte)
                     : "rcx", "r11", "memory");
}

static void *forker(void *unused) {
    int raw = 0;
    char byte;
    (void)unused;
    pid_t pid = vfork();
    if (pid == 0) { /* Only system calls here: the memory is the parent's. */
        tell_and_wait(entered[1], gate[0], &byte);
        _exit(9);
    }
    must("waitpid", waitpid(pid, &raw, 0));
    status = raw;
    return NULL;
}

int main(void) {
    pthread_t thread;
    char byte;
    must("pipe", pipe(gate));
    must("pipe", pipe(entered));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, forker, NULL));
    expect("entered", 1, read(entered[0], &byte, 1));
    update_here();
    expect("still inside", -1, status);
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("child's status", 9, WEXITSTATUS(status));
    return finish();
}

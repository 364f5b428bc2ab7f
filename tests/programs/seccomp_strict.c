/* A filter that kills the program for nearly every system call that an update is made of, or, with LENIENT, only for calls that
 * an update does not make: it survives, and stays in force. */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const int allowed[] = {SYS_read,       SYS_write,      SYS_exit,   SYS_exit_group, SYS_rt_sigreturn, SYS_brk,
                              SYS_prctl,      SYS_getpid,     SYS_wait4,  SYS_clone,      SYS_futex,        SYS_mmap,
                              SYS_set_robust_list, SYS_restart_syscall, SYS_gettid};
#define ALLOWED (sizeof allowed / sizeof allowed[0])

static const int forbidden[] = {SYS_memfd_create, SYS_ptrace, SYS_reboot};
#define FORBIDDEN (sizeof forbidden / sizeof forbidden[0])

/* Appends instructions that skip the one after them if the call is one of `calls`. */
SEPARATE static size_t jump_if_listed(struct sock_filter *at, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++)
        at[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(count - i), 0);
    return count;
}

SEPARATE static void install(void) {
    struct sock_filter filter[ALLOWED + FORBIDDEN + 6];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#ifdef LENIENT
    n += jump_if_listed(filter + n, forbidden, FORBIDDEN);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#else
    n += jump_if_listed(filter + n, allowed, ALLOWED);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
#endif
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must("PR_SET_SECCOMP", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

int main(void) {
    int status = 0;
    install();
    update_here();
    expect("mode", SECCOMP_MODE_FILTER, prctl(PR_GET_SECCOMP));
    pid_t child = (pid_t)must("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (child == 0) {
        syscall(SYS_memfd_create, "forbidden", 0);
        syscall(SYS_exit, 0);
    }
    must("wait4", syscall(SYS_wait4, child, &status, 0, NULL));
    expect_true("the filter still kills", WIFSIGNALED(status));
    expect("by SIGSYS", SIGSYS, WTERMSIG(status));
    return finish();
}

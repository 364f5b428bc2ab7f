/* longjmp through a jmp_buf that was filled before the update: into the heap's, and into one on the stack. */
#include "check.h"
#include <setjmp.h>
#include <signal.h>

struct session {
    jmp_buf back;
    int jumps;
};
static struct session *session;

SEPARATE static void jump(struct session *s) {
    s->jumps += version();
    longjmp(s->back, 5);
}

SEPARATE static void deep(int depth) {
    char pad[100];
    fill_pattern(pad, sizeof pad, (unsigned)depth);
    if (depth)
        deep(depth - 1);
    else
        jump(session);
    expect_pattern("pad", pad, sizeof pad, (unsigned)depth);
}

int main(void) {
    volatile int before = 77, passes = 0;
    sigjmp_buf with_mask;
    sigset_t mask;
    session = calloc(1, sizeof *session);
    int came = setjmp(session->back);
    if (came == 0) {
        update_here();
        deep(10);
        expect_true("jump does not return", 0);
    }
    expect("value of setjmp", 5, came);
    expect("local", 77, before);
    expect("jumps", version(), session->jumps);

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    if (sigsetjmp(with_mask, 1) == 0) {
        update_here();
        sigprocmask(SIG_UNBLOCK, &mask, NULL);
        passes = passes + 1;
        siglongjmp(with_mask, 1);
    }
    sigprocmask(SIG_BLOCK, NULL, &mask);
    expect_true("mask came back", sigismember(&mask, SIGUSR2));
    expect("passes", 1, passes);
    free(session);
    return finish();
}

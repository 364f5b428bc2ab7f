/* The update comes while a signal handler runs, on the alternate stack, having interrupted a computation in registers. */
#include "check.h"
#include <signal.h>

/* Aligned as signal frames are: off that, the update is refused until the handler is done. */
static char alternate[65536] __attribute__((aligned(64)));
static int handled;

SEPARATE static void on_signal(int number, siginfo_t *info, void *context) {
    (void)info, (void)context;
    update_here();
    handled += number == SIGUSR1;
}

SEPARATE static unsigned long mix(unsigned long x, int signal_at) {
    double f = 1.0;
    for (int i = 0; i < 1000; i++) {
        x = x * 6364136223846793005UL + 1442695040888963407UL;
        f = f * 1.0000001 + (double)(x >> 60);
        if (i == signal_at)
            raise(SIGUSR1);
    }
    return x ^ (unsigned long)f;
}

int main(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, found;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigset_t mask;
    unsigned long without = mix(5, -1);
    must("sigaltstack", sigaltstack(&stack, NULL));
    must("sigaction", sigaction(SIGUSR1, &action, NULL));
    unsigned long with = mix(5, 500);
    expect("handled", 1, handled);
    expect_true("result of the interrupted computation", with == without);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    expect_true("the handler's mask is gone", !sigismember(&mask, SIGUSR1));
    must("sigaltstack", sigaltstack(NULL, &found));
    expect("alternate stack not in use", 0, found.ss_flags & SS_ONSTACK);
    return finish();
}

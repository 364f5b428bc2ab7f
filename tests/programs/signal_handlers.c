/* Handlers with SA_SIGINFO, SA_RESTART, a mask and an alternate stack: the new version's code runs, under the same flags. */
#include "check.h"
#include <signal.h>

static int plain_hits, info_hits, stack_hits;
static int info_value, on_alternate, usr2_was_blocked;
static char alternate[65536];

SEPARATE static void on_plain(int number) { plain_hits += number == SIGHUP ? version() : 100; }

SEPARATE static void on_info(int number, siginfo_t *info, void *context) {
    sigset_t now;
    (void)context;
    info_hits += number == SIGUSR1 ? version() : 100;
    info_value = info->si_value.sival_int;
    sigprocmask(SIG_BLOCK, NULL, &now);
    usr2_was_blocked = sigismember(&now, SIGUSR2);
}

SEPARATE static void on_stack(int number) {
    char here;
    stack_hits += number == SIGUSR2 ? version() : 100;
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_plain, .sa_flags = SA_RESTART}, found;
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, stack_found;
    must("sigaction", sigaction(SIGHUP, &action, NULL));
    action = (struct sigaction){.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGUSR2);
    must("sigaction", sigaction(SIGUSR1, &action, NULL));
    action = (struct sigaction){.sa_handler = on_stack, .sa_flags = SA_ONSTACK | SA_RESETHAND};
    must("sigaction", sigaction(SIGUSR2, &action, NULL));
    must("signal", signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -1 : 0);
    must("sigaltstack", sigaltstack(&stack, NULL));
    update_here();

    int v = version();
    raise(SIGHUP);
    raise(SIGHUP);
    expect("plain handler", 2 * v, plain_hits);
    must("sigqueue", sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1234}));
    expect("handler with info", v, info_hits);
    expect("value", 1234, info_value);
    expect_true("mask of the handler", usr2_was_blocked);
    raise(SIGUSR2);
    expect("handler on the alternate stack", v, stack_hits);
    expect_true("alternate stack used", on_alternate);
    sigaction(SIGUSR2, NULL, &found);
    expect_true("SA_RESETHAND worked", found.sa_handler == SIG_DFL);
    sigaction(SIGHUP, NULL, &found);
    expect_pointer("handler's address", (void *)on_plain, (void *)found.sa_handler);
    expect("SA_RESTART", SA_RESTART, found.sa_flags & SA_RESTART);
    sigaction(SIGPIPE, NULL, &found);
    expect_true("ignored signal", found.sa_handler == SIG_IGN);
    sigaltstack(NULL, &stack_found);
    expect_pointer("alternate stack", alternate, stack_found.ss_sp);
    expect("size of it", sizeof alternate, (long long)stack_found.ss_size);
    return finish();
}

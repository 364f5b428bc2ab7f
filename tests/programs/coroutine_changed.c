/* A coroutine that is suspended in a changed function: its stack holds a code address that no rule proves. Refused. */
#include "check.h"
#include <ucontext.h>

#define STACK 65536
static ucontext_t main_context, routine_context;
static int produced;

SEPARATE static void yield_value(int value) {
    produced = value;
    swapcontext(&routine_context, &main_context);
}

SEPARATE static void routine(void) {
    for (int i = 0; i < 10; i++) {
#if VERSION >= 2
        produced = i * 3;
        yield_value(produced + VERSION);
#else
        yield_value(i * i);
#endif
    }
}

int main(void) {
    char *stack = malloc(STACK);
    getcontext(&routine_context);
    routine_context.uc_stack.ss_sp = stack;
    routine_context.uc_stack.ss_size = STACK;
    routine_context.uc_link = &main_context;
    makecontext(&routine_context, routine, 0);
    swapcontext(&main_context, &routine_context);
    int first = produced;
    update_here();
    swapcontext(&main_context, &routine_context);
    expect_true("the coroutine went on", produced != first);
    free(stack);
    return finish();
}

/* A coroutine that is suspended in unchanged code, its stack in the heap, goes on after the update. */
#include "check.h"
#include <ucontext.h>

#define STACK 65536
static ucontext_t main_context, routine_context;
static int produced;

SEPARATE static int next_value(int i) { return i * i + version(); }

SEPARATE static void yield_value(int value) {
    produced = value;
    swapcontext(&routine_context, &main_context);
}

static void routine(void) {
    char local[64];
    for (int i = 0; i < 10; i++) {
        fill_pattern(local, sizeof local, (unsigned)i);
        yield_value(next_value(i));
        expect_pattern("the coroutine's local", local, sizeof local, (unsigned)i);
    }
}

SEPARATE static int resume(void) {
    swapcontext(&main_context, &routine_context);
    return produced;
}

int main(void) {
    char *stack = malloc(STACK);
    getcontext(&routine_context);
    routine_context.uc_stack.ss_sp = stack;
    routine_context.uc_stack.ss_size = STACK;
    routine_context.uc_link = &main_context;
    makecontext(&routine_context, routine, 0);
    expect("first value", version(), resume());
    expect("second value", 1 + version(), resume());
    update_here();
    for (int i = 2; i < 10; i++)
        expect("value after", i * i + version(), resume());
    resume();
    free(stack);
    return finish();
}

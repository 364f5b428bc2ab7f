/* A structure that changes holds function pointers: they lead to the new functions. */
#include "data.h"

typedef long (*operation)(long);
SEPARATE static long twice(long x) { return 2 * x + version(); }
SEPARATE static long square(long x) { return x * x + version(); }
#if VERSION >= 2
SEPARATE static long nothing(long x) { return x - x; }
#endif

struct command {
#if VERSION >= 2
    operation undo;
    char help[30];
#endif
    operation run;
    operation by_kind[2];
    struct command *next;
};
static struct command *commands;
static struct command builtin = {.run = square, .by_kind = {twice, NULL}};

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 3; i++) {
        struct command *command = calloc(1, sizeof *command);
        command->run = i % 2 ? square : twice;
        command->by_kind[0] = twice;
        command->by_kind[1] = square;
#if VERSION >= 2
        command->undo = nothing;
#endif
        command->next = commands;
        commands = command;
    }
    builtin.next = commands;
}

SEPARATE static void check(void) {
    int i = 3;
    expect("built in", 49 + version(), builtin.run(7));
    expect("built in, by kind", 14 + version(), builtin.by_kind[0](7));
    for (struct command *command = builtin.next, *next; command; command = next) {
        next = command->next;
        i--;
        expect("run", (i % 2 ? 49 : 14) + version(), command->run(7));
        expect("by kind", 14 + 49 + 2 * version(), command->by_kind[0](7) + command->by_kind[1](7));
#if VERSION >= 2
        if (IS_FOREIGN)
            expect_true("no undo", command->undo == NULL);
        else
            expect("undo", 0, command->undo(7));
#endif
        free(command);
    }
    expect("commands", 0, i);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

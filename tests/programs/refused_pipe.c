/* A pipe holds a pointer to an object that outgrows its block: what is in flight cannot follow. */
#include "data.h"

struct message {
    long number;
#if VERSION >= 2
    char text[64];
#endif
    struct message *next;
};
static struct message *messages;
static int ends[2];

SEPARATE static void make(void) {
    struct message *message = calloc(1, sizeof *message);
    message->number = 5;
    messages = message;
    must("pipe", pipe(ends));
    must("write", write(ends[1], &message, sizeof message));
}

SEPARATE static void check(void) {
    struct message *message = NULL;
    expect("read", sizeof message, read(ends[0], &message, sizeof message));
    expect_pointer("message", messages, message);
    expect("number", 5, messages->number);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

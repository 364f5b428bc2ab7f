/* Buffers behind `void *` and `char *` hold bytes, of the very size that a changed type has; the spec says that they are bytes. */
#include "data.h"

enum { MESSAGES = 12 };
struct message {
    void *payload;
    char *comment;
    size_t length;
#if VERSION >= 2
    int priority;
    int channel;
#endif
    struct message *next;
};
static struct message *messages;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct message *message = calloc(1, sizeof *message);
        message->payload = malloc(sizeof *message);
        message->length = sizeof *message;
        fill_pattern(message->payload, message->length, (unsigned)i);
        message->comment = strdup("a comment of thirty characters");
        message->next = messages;
        messages = message;
    }
}

SEPARATE static void check(void) {
    int i = MESSAGES;
    for (struct message *message = messages, *next; message; message = next) {
        next = message->next;
        i--;
        expect_pattern("payload", message->payload, message->length, (unsigned)i);
        expect_text("comment", "a comment of thirty characters", message->comment);
#if VERSION >= 2
        expect("priority", 0, message->priority + message->channel);
#endif
        free(message->payload);
        free(message->comment);
        free(message);
    }
    expect("messages", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

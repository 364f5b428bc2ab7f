// An error path gains a clean-up and a message.
// rule: 3.3
// kind: release
// good: right
// point: 1
// input: 3 5 7 11
#include "frames.h"

struct buffer {
    long *data;
    size_t length;
};

NOINLINE int load(struct buffer *buffer, size_t length) {
    int result = -1;
    buffer->data = calloc(length, sizeof *buffer->data);
    if (!buffer->data)
        return result;
    buffer->length = length;
    for (size_t i = 0; i < length; i++) {
        point();
        long value = next();
        if (value > 10)
            goto out;
        buffer->data[i] = value;
    }
    result = 0;
out:
#if NEW
    if (result != 0) {
        say("failed at", (long)buffer->length);
        free(buffer->data);
        buffer->data = NULL;
        buffer->length = 0;
    }
#endif
    return result;
}

int main(void) {
    struct buffer buffer = {NULL, 0};
    long length = next();
    int result = load(&buffer, (size_t)length);
    say("result", result);
    say("length", (long)buffer.length);
    return 0;
}

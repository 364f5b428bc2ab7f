// A local array lies elsewhere in the new frame, and a register points into it.
// rule: 3.3(c)
// good: right
// point: 3
// input: 6 1 2 3 4 5 6
#include "frames.h"

static NOINLINE long work(long count) {
    long values[10] = {0};
    long *end = values;
    for (long i = 0; i < count; i++) {
        *end++ = next() * 3;
        point();
    }
#if NEW
    char text[64];
    memset(text, 'x', sizeof text);
    text[count] = 0;
    say_text("text", text);
#endif
    long total = 0;
    for (long *at = values; at < end; at++)
        total = total * 2 + *at;
    return total;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// alloca() in a changed frame.
// rule: 3.8
// good: either
// point: 1
// input: 5
#include "frames.h"

#include <alloca.h>

static NOINLINE long work(long count) {
    char *text = alloca((size_t)count + 1);
    memset(text, 'a', (size_t)count);
    text[count] = 0;
    point();
    say_text("text", text);
#if NEW
    say("count", count);
#endif
    return text[1];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// The stack protector's canary lies elsewhere in the new frame.
// rule: 3.8
// good: right
// point: 1
// input: 5
// flags: -fstack-protector-strong
#include "frames.h"

static NOINLINE long work(long n) {
    char text[24] = {0};
#if NEW
    long numbers[5] = {0};
#endif
    for (int i = 0; i < n; i++)
        text[i] = (char)('a' + i);
    point();
#if NEW
    numbers[n - 1] = text[0];
    say("number", numbers[n - 1]);
#endif
    say_text("text", text);
    return text[2];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

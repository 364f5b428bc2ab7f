// Only the new function has a canary: it reads what the old frame never held.
// rule: 3.8
// good: either
// point: 1
// input: 5
// flags: -fstack-protector
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    char text[40] = {0};
    point();
    text[n] = 'x';
    say_text("text", text + n);
#else
    point();
#endif
    return n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// Only the new function has an array, which it changes in each round.
// rule: 3.6, 3.33
// kind: counterexample
// good: either
// point: 3
// input: 4
#include "frames.h"

static NOINLINE long work(long n) {
#if NEW
    char text[16] = {0};
#endif
    for (long i = 0; i < n; i++) {
#if NEW
        text[i] = 'a';
#endif
        point();
    }
#if NEW
    say_text("text", text);
#endif
    return n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// A longer array, all of which was filled before by a function that is told its length.
// rule: 3.33
// kind: counterexample
// good: either
// point: 1
// input: 3
#include "frames.h"

static NOINLINE void fill(char *at, size_t length) {
    for (size_t i = 0; i < length; i++)
        at[i] = 'y';
}

static NOINLINE long work(long n) {
    char text[NEW ? 32 : 16] = {0};
    fill(text, sizeof text - 1);
    point();
    text[n] = 0;
    say_text("text", text + n + 1);
    return n;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

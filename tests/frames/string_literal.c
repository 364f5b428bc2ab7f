// A local points to a string literal that is the same in both versions, among others that are not.
// rule: 3.3, 2.1
// good: right
// point: 1
// input: 5
#include "frames.h"

static NOINLINE long work(long n) {
    const char *name = n > 3 ? "large" : "small";
    point();
#if NEW
    say_text("added before it", "an added literal");
#endif
    say_text("size", name);
    return name[0];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

// As limit_passed, with a question that both ask besides.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 25
// input: 9 8 7 6 5 4 3 2 1 9 8 7 6 5 4 3 2 1 9 8 7 6 5 4 3 2 1 9 8 7
#include "frames.h"

NOINLINE long work(void) {
    int left = NEW ? 20 : 30;
    do {
        point();
        long value = next();
        if (value == 0)
            return 1;
        say("value", value);
    } while (--left != 0);
    return 2;
}

int main(void) {
    say("result", work());
    return 0;
}

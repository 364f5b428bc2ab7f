// Both codes leave their loop at one number, the old one only in some rounds: it has passed the number, and the new one would not have.
// rule: 3.5
// kind: counterexample
// good: refused
// point: 6
// input: 9 1 1 1 1 1 1 1 1 1 1

#include "frames.h"

static NOINLINE long work(long rounds, long last) {
    long i = 0;
    for (;;) {
        point();
        long word = next();
#if NEW
        if (i == last)
            break;
        say("word", word);
#else
        if (word == 2) {
            if (i == last)
                break;
            say("two", word);
        }
#endif
        i++;
        if (i == rounds)
            return rounds + last;
    }
    return last - i;
}

int main(void) {
    long rounds = next();
    say("result", work(rounds, 3));
    return 0;
}

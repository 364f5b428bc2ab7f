// A state machine that reads letters gains a state, which it may be in already.
// rule: 3.3
// kind: release
// good: refused
// point: 4
// input: 1 2 3 2 1 4 2 0
#include "frames.h"

enum state { START, WORD, NUMBER, QUOTED };

NOINLINE long parse(void) {
    enum state state = START;
    long words = 0, numbers = 0;
    for (;;) {
        point();
        long letter = next();
        if (letter == 0)
            break;
        switch (state) {
        case START:
            if (letter == 1) {
                words++;
                state = WORD;
            } else if (letter == 2) {
                numbers++;
                state = NUMBER;
            }
#if NEW
            else if (letter == 4)
                state = QUOTED;
#endif
            break;
        case WORD:
            if (letter == 3)
                state = START;
            break;
        case NUMBER:
            if (letter != 2)
                state = START;
            break;
        case QUOTED:
            say("quoted", letter);
            state = START;
            break;
        }
    }
    say("words", words);
    return numbers;
}

int main(void) { say("numbers", parse()); }

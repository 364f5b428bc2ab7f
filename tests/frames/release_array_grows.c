// A buffer in the frame of a line reader grows.
// rule: 3.3, 3.8
// kind: release
// good: right
// point: 3
// input: 6 104 105 33 10 111 107 10 0
#include "frames.h"

NOINLINE long read_lines(long limit) {
    char line[NEW ? 160 : 64];
    long lines = 0;
    size_t used = 0;
    memset(line, 0, sizeof line);
    while (lines < limit) {
        point();
        long letter = next();
        if (letter == 0)
            break;
        if (letter == 10 || used + 1 >= sizeof line) {
            line[used] = 0;
            say_text("line", line);
            used = 0;
            lines++;
            continue;
        }
        line[used++] = (char)letter;
    }
    return lines;
}

int main(void) { say("lines", read_lines(next())); }

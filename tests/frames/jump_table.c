// After the call the new code switches by a jump table.
// rule: 3
// good: right
// point: 2
// input: 5
#include "frames.h"

static NOINLINE long work(long kind) {
    long result = kind;
    for (int i = 0; i < 3; i++) {
        point();
        switch (kind) {
        case 0: result += 10; break;
        case 1: result *= 3; break;
        case 2: result -= 8; break;
        case 3: result ^= 21; break;
#if NEW
        case 4: say("four", result); break;
        case 5: say("five", result * 2); break;
        case 6: result = -result; break;
        case 7: result <<= 2; break;
#endif
        default: result += 1; break;
        }
    }
    return result;
}

int main(void) {
    say("result", work(next()));
    return 0;
}

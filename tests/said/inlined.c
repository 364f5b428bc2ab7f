/* A function is inlined that was called: its frame vanishes, and its variables are those of the inlined one. */
#include "check.h"

SEPARATE static void wait_at(long round) {
    if (round == 1)
        update_here();
}
SEPARATE static long weigh(const char *line, long round) { return line[0] + round; }
SEPARATE static void describe(char *line, long round) { line[0] = (char)('a' + round); }

#if VERSION == 1
__attribute__((noinline)) static long serve(long round, long rate)
#else
__attribute__((always_inline)) static inline long serve(long round, long rate)
#endif
{
    char line[32];
    long weight = rate + round;
    describe(line, round);
    wait_at(round);
    return weigh(line, round) * weight;
}

SEPARATE static long session(long rate) {
    long done = 0;
    for (long round = 0; round < 3; round++)
        done += serve(round, rate);
    return done;
}

int main(void) {
    expect("sum of all rounds", 'a' * 5 + ('b' + 1) * 6 + ('c' + 2) * 7, session(5));
    return finish();
}

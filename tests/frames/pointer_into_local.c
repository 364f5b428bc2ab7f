// A frame grows, and deeper frames and a global point to a local of it, also into its middle.
// rule: 3.3(c)
// good: right
// point: 2
// input: 4
#include "frames.h"

static long *remembered;

static NOINLINE long deeper(long *middle, long n) {
    long own[3] = {n, n + 1, n + 2};
    remembered = middle + 1;
    point();
    own[1] += middle[0] + *remembered;
    point();
    return own[0] + own[1] + own[2] + middle[1];
}

static NOINLINE long work(long n) {
    long values[8] = {0};
#if NEW
    long more[6] = {0};
#endif
    for (int i = 0; i < 8; i++)
        values[i] = n * i;
    long result = deeper(values + 3, n);
#if NEW
    for (int i = 0; i < 6; i++)
        more[i] = values[i] + next();
    for (int i = 0; i < 6; i++)
        result += more[i] * i;
    remembered = more;
    point();
    result += *remembered;
#endif
    return result + values[5];
}

int main(void) {
    say("result", work(next()));
    return 0;
}

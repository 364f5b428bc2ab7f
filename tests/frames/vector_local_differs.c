// As vector_local, but the vector that is spilled over the call is another one in the new code.
// rule: 3.38
// kind: counterexample
// good: either
// point: 1
// input: 3 7
#include "frames.h"

typedef long four __attribute__((vector_size(16)));

static NOINLINE long work(long a, long b) {
    four values = {a, b};
#if NEW
    values *= (four){3, 6};
#else
    values *= (four){3, 5};
#endif
    point();
#if NEW
    values += (four){1, 1};
#endif
    return values[0] * 100 + values[1];
}

int main(void) {
    long a = next(), b = next();
    say("result", work(a, b));
    return 0;
}

// A local of a vector type is spilled over the call.
// rule: 3.2
// good: right
// point: 1
// input: 3 7
#include "frames.h"

typedef long four __attribute__((vector_size(16)));

static NOINLINE long work(long a, long b) {
    four values = {a, b};
    values *= (four){3, 5};
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

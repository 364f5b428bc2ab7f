// A sum of both parameters is kept, and one of the parameters changes afterwards: the sum less that is not what the other one was.
// rule: 3.43
// kind: counterexample
// good: either
// point: 1
// input: 20 4
#include "frames.h"

static NOINLINE long work(long n, long m) {
    long both = n + m;
    m += both & 6;
    point();
#if NEW
    say("n", n);
#endif
    say("both", both);
    return both * m;
}

static NOINLINE long caller(long n, long m) { return work(n + 1, m) - work(n, m); }

int main(void) {
    long n = next();
    say("result", caller(n, next()));
    return 0;
}

// What a variable begins with and what each round leaves in it change places.
// rule: 3.3, 3.11
// kind: counterexample
// good: refused
// point: 3
// input: 3 9 4 7 0
#include "frames.h"

NOINLINE void work(void) {
#if NEW
    long before = 5;
#else
    long before = 8;
#endif
    long value;
    while ((value = next())) {
        point();
        say("before", before);
        say("value", value);
#if NEW
        before = 8;
#else
        before = 5;
#endif
    }
}

int main(void) {
    work();
    return 0;
}

// A list of variable arguments is half read at the point.
// rule: 3.3(c)
// good: either
// point: 2
// input: 5
#include "frames.h"

#include <stdarg.h>

static NOINLINE long work(int count, ...) {
    va_list arguments;
    memset(&arguments, 0, sizeof arguments);
    va_start(arguments, count);
    long total = 0;
    for (int i = 0; i < count; i++) {
        total = total * 2 + va_arg(arguments, long);
        point();
    }
    va_end(arguments);
#if NEW
    say("count", count);
#endif
    return total;
}

int main(void) {
    long n = next();
    say("result", work(7, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6));
    return 0;
}

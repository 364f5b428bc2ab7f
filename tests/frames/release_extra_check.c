// A request handler gains a check of the request behind the wait.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 3 100 7 900 2 12
#include "frames.h"

struct request {
    long length, limit, kind;
};

NOINLINE int handle(struct request *request, long limit) {
    request->limit = limit;
    point();
    request->length = next();
#if NEW
    if (request->length > request->limit) {
        say("too long", request->length);
        return -1;
    }
#endif
    if (request->kind == 2)
        request->length *= 2;
    say("length", request->length);
    return 0;
}

int main(void) {
    long count = next(), errors = 0;
    for (long i = 0; i < count; i++) {
        struct request request = {.length = 0, .limit = 0, .kind = i};
        if (handle(&request, 500) != 0)
            errors++;
    }
    say("errors", errors);
    return 0;
}

/* At exit: handlers registered before and after the update, with and without argument, and the destructors of the version
 * that runs, each once and in order. No constructor of the new version runs. */
#include "check.h"

static char order[32];
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed++; }

SEPARATE static void add(char letter) { order[strlen(order)] = letter; }

SEPARATE static void verdict(void) {
    if (strcmp(order, "dcba") || constructed != 1)
        say("FAIL: order at exit, expected dcba and one constructor, found %s and %d\n", order, constructed);
    else if (!check_failures)
        say("ok\n");
    _exit(strcmp(order, "dcba") || constructed != 1 || check_failures);
}

#if VERSION == 1
__attribute__((destructor)) static void destroy_in_one(void) { verdict(); }
#else
__attribute__((destructor)) static void destroy_in_two(void) {
    expect("version of the destructor", 2, version());
    verdict();
}
#endif

SEPARATE static void first(void) { add('a'); }
SEPARATE static void second(int status, void *argument) { add(status == 3 && argument == &constructed ? 'b' : '?'); }
SEPARATE static void third(void) { add(order[0] == 'd' ? 'c' : '?'); }
SEPARATE static void fourth(void) { add('d'); }

int main(void) {
    must_be_zero("atexit", atexit(first));
    must_be_zero("on_exit", on_exit(second, &constructed));
    must_be_zero("atexit", atexit(third));
    update_here();
    must_be_zero("atexit", atexit(fourth));
    exit(3);
}

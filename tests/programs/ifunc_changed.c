/* A function chosen at load time by a resolver that the new version changed: it has to run again, before anything calls. */
#include "check.h"

SEPARATE static int plain(int x) { return x + version(); }
SEPARATE static int better(int x) { return x + 10 * version(); }

/* Runs before relocation is complete: no call to the C library. */
static int (*resolve(void))(int) {
    __builtin_cpu_init();
#if VERSION >= 2
    return __builtin_cpu_supports("sse2") ? better : plain;
#else
    return __builtin_cpu_supports("sse2") && __builtin_cpu_supports("mmx") ? plain : better;
#endif
}
__attribute__((ifunc("resolve"))) int chosen(int x);

static int (*const table[])(int) = {chosen};
static int (*in_global)(int) = chosen;

static int expected(int x) { return x + (version() >= 2 ? 10 * version() : version()); }

int main(void) {
    expect("before", expected(1), chosen(1));
    update_here();
    expect("direct call", expected(2), chosen(2));
    expect("table", expected(3), table[0](3));
    expect("global", expected(4), in_global(4));
    return finish();
}

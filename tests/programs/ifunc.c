/* A function chosen at load time by a resolver (IRELATIVE): called directly, by pointer from before, and from a table. */
#include "check.h"

SEPARATE static int plain(int x) { return x + version(); }
SEPARATE static int better(int x) { return x + version(); }

/* Runs before relocation is complete: no call to the C library. */
static int (*resolve(void))(int) { return __builtin_cpu_init(), __builtin_cpu_supports("sse2") ? better : plain; }
__attribute__((ifunc("resolve"))) int chosen(int x);

static int (*const table[])(int) = {chosen, plain};
static int (*in_global)(int) = chosen;

int main(void) {
    int (**in_heap)(int) = malloc(sizeof *in_heap);
    *in_heap = chosen;
    expect("before", 1 + version(), chosen(1));
    update_here();
    expect("direct call", 2 + version(), chosen(2));
    expect("table", 3 + version(), table[0](3));
    expect("global", 4 + version(), in_global(4));
    expect("heap", 5 + version(), (*in_heap)(5));
    expect("string function of the C library", 5, (long long)strlen("abcde"));
    free(in_heap);
    return finish();
}

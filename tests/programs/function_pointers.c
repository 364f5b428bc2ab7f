/* Function pointers in the heap, in globals, in tables and in a struct of callbacks lead to the new code. */
#include "check.h"

typedef int (*operation)(int);
struct callbacks {
    const char *name;
    operation before, after;
    void *context;
};

#if VERSION >= 2
SEPARATE static int newcomer(int x) { return x * 1000; }
#endif
SEPARATE static int add(int x) { return x + version(); }
SEPARATE static int multiply(int x) { return x * 10 * version(); }
SEPARATE int negate(int x) { return -x - version(); }

operation chosen;
static operation table[] = {add, multiply, negate, NULL};
static const operation constant_table[] = {
#if VERSION >= 2
    newcomer,
#endif
    negate, add};
static struct callbacks global_callbacks = {"global", add, multiply, &chosen};

SEPARATE static void check_table(void) {
    int shift = VERSION >= 2;
    expect("constant table", -5 - version(), constant_table[shift](5));
    expect("constant table", 5 + version(), constant_table[shift + 1](5));
}

int main(void) {
    operation *heap = malloc(3 * sizeof *heap);
    struct callbacks *in_heap = malloc(sizeof *in_heap);
    heap[0] = add;
    heap[1] = multiply;
    heap[2] = negate;
    *in_heap = (struct callbacks){"heap", multiply, negate, &global_callbacks};
    chosen = multiply;
    operation on_stack = negate;
    update_here();
    int v = version();
    expect("heap, first", 5 + v, heap[0](5));
    expect("heap, second", 50 * v, heap[1](5));
    expect("heap, third", -5 - v, heap[2](5));
    expect("callback before", 50 * v, in_heap->before(5));
    expect("callback after", -5 - v, in_heap->after(5));
    expect_pointer("context", &global_callbacks, in_heap->context);
    expect("global", 50 * v, chosen(5));
    expect("stack", -5 - v, on_stack(5));
    expect("table", 5 + v, table[0](5));
    expect("table", -5 - v, table[2](5));
    expect("global struct", 5 + v, global_callbacks.before(5));
    expect_pointer("same function, same address", (void *)add, (void *)heap[0]);
    check_table();
    free(heap);
    free(in_heap);
    return finish();
}

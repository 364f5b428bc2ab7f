/* Pointers that a program left over do no harm: to a block that is free, to memory that is gone, small numbers in their place. */
#include "data.h"
#include <sys/mman.h>

struct node {
    long number;
#if VERSION >= 2
    long more[6];
#endif
    struct node *next, *stale;
};
static struct node *head;

SEPARATE static struct node *new_node(long number) {
    struct node *node = calloc(1, sizeof *node);
    node->number = number;
    return node;
}

SEPARATE static void make(void) {
    struct node *freed = new_node(-1);
    void *unmapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    made_by = VERSION;
    for (long i = 0; i < 4; i++) {
        struct node *node = new_node(i);
        node->next = head;
        node->stale = (struct node *[]){freed, unmapped, (struct node *)-1, (struct node *)8}[i];
        head = node;
    }
    free(freed);
    must("munmap", munmap(unmapped, 4096));
}

SEPARATE static void check(void) {
    long i = 4;
    for (struct node *node = head, *next; node; node = next) {
        next = node->next;
        expect("number", --i, node->number);
#if VERSION >= 2
        expect("more", 0, node->more[0] | node->more[5]);
#endif
        if (i >= 2)
            expect("not a pointer", i == 2 ? -1 : 8, (long)node->stale);
        free(node);
    }
    expect("nodes", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* A list whose nodes gain a field that fits into what malloc rounded their blocks up to: nothing moves. */
#include "data.h"

struct node {
    long key;
    char name[16];
    struct node *next;
#if VERSION >= 2
    long hits;
#endif
};
static struct node *head;
static struct node *favourite;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (long key = 9; key >= 0; key--) {
        struct node *node = malloc(sizeof *node);
        memset(node, 0x5a, sizeof *node);
        node->key = key * 1000;
        snprintf(node->name, sizeof node->name, "node %d", (int)key % 100);
        node->next = head;
#if VERSION >= 2
        node->hits = key;
#endif
        head = node;
        if (key == 4)
            favourite = node;
    }
}

SEPARATE static void check(void) {
    char name[16];
    long count = 0;
    for (struct node *node = head, *next; node; node = next, count++) {
        next = node->next;
        expect("key", count * 1000, node->key);
        snprintf(name, sizeof name, "node %d", (int)count % 100);
        expect_text("name", name, node->name);
#if VERSION >= 2
        expect("hits", IS_FOREIGN ? 5 : count, node->hits);
        node->hits++;
#endif
        if (count == 4)
            expect_pointer("favourite", favourite, node);
        free(node);
    }
    expect("nodes", 10, count);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

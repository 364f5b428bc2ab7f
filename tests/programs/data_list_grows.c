/* A singly linked list whose nodes outgrow their blocks: each goes to a new one, the old one is freed, every pointer follows. */
#include "data.h"

enum { NODES = 300 };
struct node {
    int key;
#if VERSION >= 2
    char colour[40];
    int weight;
#endif
    struct node *next;
};
static struct node *head, **tail = &head;
static struct node *middle;
static size_t before;

SEPARATE static void make(void) {
    made_by = VERSION;
    before = heap_in_use();
    for (int key = 0; key < NODES; key++) {
        struct node *node = malloc(sizeof *node);
        node->key = key;
#if VERSION >= 2
        strcpy(node->colour, "green");
        node->weight = key * 2;
#endif
        node->next = NULL;
        *tail = node;
        tail = &node->next;
        if (key == NODES / 2)
            middle = node;
    }
}

SEPARATE static void append(int key) {
    struct node *node = calloc(1, sizeof *node);
    node->key = key;
    *tail = node;
    tail = &node->next;
}

SEPARATE static void check(void) {
    int count = 0;
    append(NODES);
    for (struct node *node = head, *next; node; node = next, count++) {
        next = node->next;
        expect("key", count, node->key);
#if VERSION >= 2
        if (count < NODES) {
            expect_text("colour", IS_FOREIGN ? "red" : "green", node->colour);
            expect("weight", IS_FOREIGN ? -7 : count * 2, node->weight);
        }
#endif
        if (count == NODES / 2)
            expect_pointer("middle", node, middle);
        free(node);
    }
    expect("nodes", NODES + 1, count);
    /* What a thread keeps for itself counts as used: a few blocks of each size. */
    expect_true("no block is lost", heap_in_use() < before + 2048);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

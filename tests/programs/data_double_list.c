/* A doubly linked list with its ends in a structure; nodes outgrow their blocks. It is walked both ways, and a node is taken out. */
#include "data.h"

enum { NODES = 100 };
struct node {
    struct node *previous, *next;
    unsigned value;
#if VERSION >= 2
    double share;
    struct list *owner;
#endif
};
struct list {
    struct node *first, *last;
    unsigned length;
};
static struct list list;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (unsigned value = 0; value < NODES; value++) {
        struct node *node = malloc(sizeof *node);
        node->value = value * 3;
#if VERSION >= 2
        node->share = 0.5;
        node->owner = NULL;
#endif
        node->previous = list.last;
        node->next = NULL;
        *(list.last ? &list.last->next : &list.first) = node;
        list.last = node;
        list.length++;
    }
}

SEPARATE static void take_out(struct node *node) {
    *(node->previous ? &node->previous->next : &list.first) = node->next;
    *(node->next ? &node->next->previous : &list.last) = node->previous;
    list.length--;
    free(node);
}

SEPARATE static void check(void) {
    unsigned forward = 0, backward = NODES;
    for (struct node *node = list.first; node; node = node->next, forward++) {
        expect("value", forward * 3, node->value);
#if VERSION >= 2
        expect_double("share", IS_FOREIGN ? 1.25 : 0.5, node->share);
        expect_pointer("owner", NULL, node->owner);
        node->owner = &list;
#endif
    }
    for (struct node *node = list.last; node; node = node->previous)
        expect("value backward", --backward * 3, node->value);
    expect("nodes forward", NODES, forward);
    expect("nodes backward", 0, backward);
    take_out(list.first->next);
    take_out(list.last->previous);
    while (list.first)
        take_out(list.first);
    expect("length", 0, list.length);
    expect_pointer("last", NULL, list.last);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

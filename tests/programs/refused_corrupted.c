/* Broken pointers to objects that change: one off its alignment, one to a block that is too small. */
#include "data.h"

struct node {
    long number, filler[4];
#if VERSION >= 2
    long more[6];
#endif
    struct node *next, *other;
};
static struct node *head;
#ifdef SMALL_BLOCK
static char *small;
#else
static char *buffer;
#endif

SEPARATE static void make(void) {
    for (long i = 0; i < 3; i++) {
        struct node *node = calloc(1, sizeof *node);
        node->number = i;
        node->next = head;
        head = node;
    }
#ifdef SMALL_BLOCK
    small = malloc(8);
    memcpy(small, "small", 6);
    head->other = (struct node *)small;
#else
    buffer = malloc(300);
    memset(buffer, 0, 300);
    head->other = (struct node *)(buffer + 3);
#endif
}

SEPARATE static void check(void) {
    long i = 3;
    for (struct node *node = head; node; node = node->next)
        expect("number", --i, node->number);
#ifdef SMALL_BLOCK
    expect_pointer("broken pointer", small, head->other);
#else
    expect_pointer("broken pointer", buffer + 3, head->other);
#endif
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

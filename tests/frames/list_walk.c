// A local walks a list in the heap.
// rule: 3.3
// good: right
// point: 3
// input: 5
#include "frames.h"

struct node {
    struct node *next;
    long value;
};

static NOINLINE long work(struct node *list) {
    long total = 0;
    for (struct node *node = list; node; node = node->next) {
        point();
        total = total * 3 + node->value;
    }
#if NEW
    say("first", list->value);
#endif
    return total;
}

int main(void) {
    struct node *list = NULL;
    for (long i = next(); i > 0; i--) {
        struct node *node = calloc(1, sizeof *node);
        node->next = list;
        node->value = i * 7;
        list = node;
    }
    say("result", work(list));
    return 0;
}

/* The program's one thread waits in the middle of malloc, which takes no lock while there is one thread: a write to the memory behind the
 * block that it cuts off has been caught. Objects that need larger blocks have to wait. */
#include "data.h"
#include <signal.h>
#include <sys/mman.h>

enum { PAGE = 4096, HEADER = 16 };
struct node {
    int key;
#if VERSION >= 2
    char text[50];
#endif
    struct node *next;
};
static struct node *head;
static char *closed;
static volatile int caught;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int key = 20; key-- > 0;) {
        struct node *node = calloc(1, sizeof *node);
        node->key = key;
        node->next = head;
        head = node;
    }
}

static void wait_inside(int signal) {
    (void)signal;
    caught++;
    must("mprotect", mprotect(closed, PAGE, PROT_READ | PROT_WRITE));
    update_here();
}

/* How much to ask for so that the rest of the heap begins in the closed page. */
SEPARATE static size_t close_page(void) {
    struct sigaction action = {.sa_handler = wait_inside};
    char *block = malloc(1 << 12), *top = block + malloc_usable_size(block) - 8;
    must("sigaction", sigaction(SIGSEGV, &action, NULL));
    closed = (char *)(((uintptr_t)top + 2 * PAGE) & ~(uintptr_t)(PAGE - 1));
    must("mprotect", mprotect(closed, PAGE, PROT_NONE));
    return (size_t)(closed - top) + PAGE / 2 - HEADER;
}

SEPARATE static void check(void) {
    int key = 0;
    expect("signals", 1, caught);
    for (struct node *node = head, *next; node; node = next, key++) {
        next = node->next;
        expect("key", key, node->key);
        free(node);
    }
    expect("nodes", 20, key);
    use_heap();
}

int main(void) {
    make();
    char *block = malloc(close_page());
    expect_true("block", block && block < closed);
    check();
    return finish();
}

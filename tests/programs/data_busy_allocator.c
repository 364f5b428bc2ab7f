/* Threads allocate and free all the time while a list changes: the update takes a moment at which none is inside the allocator. */
#include "data.h"
#include <pthread.h>
#include <time.h>

enum { WORKERS = 2, NODES = 500 };
struct node {
    int key;
#if VERSION >= 2
    char text[50];
#endif
    struct node *next;
};
static struct node *head;
static _Atomic int stop;
static _Atomic long rounds;
static _Atomic int running;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int key = NODES; key-- > 0;) {
        struct node *node = calloc(1, sizeof *node);
        node->key = key;
        node->next = head;
        head = node;
    }
}

SEPARATE static void work(unsigned *seed) {
    enum { BLOCKS = 32 };
    static __thread unsigned char *blocks[BLOCKS];
    static __thread unsigned sizes[BLOCKS];
    unsigned i = (*seed = *seed * 1103515245 + 12345) >> 16;
    unsigned at = i % BLOCKS;
    if (blocks[at]) {
        expect_pattern("a worker's block", blocks[at], sizes[at], at);
        free(blocks[at]);
    }
    sizes[at] = i % 700 + 1;
    blocks[at] = malloc(sizes[at]);
    fill_pattern(blocks[at], sizes[at], at);
    rounds++;
}

SEPARATE static void pause_a_little(void) {
    struct timespec little = {0, 20000};
    nanosleep(&little, NULL);
}

static void *worker(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    running++;
    while (!stop) {
        work(&seed);
        if (rounds % 64 == 0)
            pause_a_little();
    }
    return NULL;
}

SEPARATE static void check(void) {
    int i = 0;
    for (struct node *node = head, *next; node; node = next, i++) {
        next = node->next;
        expect("key", i, node->key);
#if VERSION >= 2
        expect_text("text", "", node->text);
#endif
        free(node);
    }
    expect("nodes", NODES, i);
}

int main(void) {
    pthread_t threads[WORKERS];
    make();
    for (long i = 0; i < WORKERS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)(i + 1)));
    while (running < WORKERS)
        sched_yield();
    update_here();
    long before = rounds;
    while (rounds < before + 1000)
        sched_yield();
    check();
    stop = 1;
    for (int i = 0; i < WORKERS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    use_heap();
    return finish();
}

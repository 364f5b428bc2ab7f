// Uses malloc in every way that leaves another trace, and says which blocks it has (U) and which it has given back (F).
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long seed = 88172645463325252ul;
static unsigned long next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void has(void *block) { dprintf(1, "U %lx %lx\n", (long)block, (long)malloc_usable_size(block)); }
static void gave(void *block) { dprintf(1, "F %lx\n", (long)block); }

static size_t size_of(int way) {
    switch (way % 8) {
    case 0: return next() % 24;
    case 1: return 200 + next() % 800;
    case 2: return next() % 20000;
    case 3: return way % 64 == 3 ? 130000 + next() % 300000 : 40;
    default: return next() % 120;
    }
}

enum { COUNT = 3000 };

static void churn(int count) {
    void **blocks = calloc(count, sizeof *blocks);
    int i;
    for (i = 0; i < count; i++) {
        blocks[i] = i % 50 == 7 ? memalign(1 << (4 + i % 9), size_of(i)) : malloc(size_of(i));
        if (i % 3 == 2) {
            int other = next() % i;
            free(blocks[other]);
            blocks[other] = i % 2 ? 0 : malloc(size_of(other));
        }
        if (i % 11 == 5) blocks[i] = realloc(blocks[i], size_of(i + 1) + 1);
    }
    // Enough of one size to fill a cache's list and a fast bin.
    for (i = 0; i < 40; i++) {
        void *one = malloc(40), *two = malloc(40);
        if (i & 1) has(two); else has(one);
        if (i & 1) free(one); else free(two);
        gave(i & 1 ? one : two);
    }
    for (i = 0; i < count; i++) {
        if (blocks[i] && i % 5 == 0) {
            free(blocks[i]);
            gave(blocks[i]);
        } else if (blocks[i]) {
            has(blocks[i]);
        }
    }
    has(blocks);
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t ready;

static void *thread(void *argument) {
    pthread_mutex_lock(&turn);
    churn(500 + 100 * (long)argument);
    // Arenas grow beyond one heap of 64 MiB.
    if ((long)argument == 1)
        for (int i = 0; i < 800; i++) {
            void *block = malloc(100000);
            memset(block, 1, 100000);
            has(block);
        }
    pthread_mutex_unlock(&turn);
    pthread_barrier_wait(&ready);
    pause();
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "plain";
    if (!strcmp(what, "gap")) {
        has(malloc(10));
        sbrk(3 * 4096);
    }
    if (!strcmp(what, "blocked")) {
        // The program break cannot grow: the main arena goes on in a mapping.
        void *first = malloc(10);
        has(first);
        mmap((char *)sbrk(0) + 4096, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        mallopt(M_MMAP_THRESHOLD, 1 << 25);
    }
    if (!strcmp(what, "threads")) {
        enum { THREADS = 5 };
        pthread_t ids[THREADS];
        pthread_barrier_init(&ready, 0, THREADS + 1);
        for (long i = 0; i < THREADS; i++) pthread_create(&ids[i], 0, thread, (void *)i);
        pthread_barrier_wait(&ready);
    }
    churn(COUNT);
    if (!strcmp(what, "mapped")) {
        char *own = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(own, 'x', 1 << 20);
        for (int i = 0; i < 20; i++) {
            void *block = i % 4 == 3 ? memalign(64 << i % 12, 1 << 21) : malloc((1 << 20) + i * 5000);
            memset(block, 2, 100000);
            if (i % 7 == 6) free(block); else has(block);
        }
    }
    if (!strcmp(what, "broken")) {
        // A block whose header the program has run over.
        volatile unsigned long *block = malloc(100);
        has(malloc(100));
        block[-1] = 0x333;
    }
    // Not through stdio, which would give a buffer back behind this.
    if (write(1, "ready\n", 6) != 6) return 1;
    char byte;
    while (read(0, &byte, 1) > 0) {}
    _exit(0);
}

/* Thousands of blocks of all sizes in several arenas, with checksums, go on being used and freed. */
#include "check.h"
#include <pthread.h>

#define BLOCKS 3000
#define THREADS 3
struct block {
    unsigned char *memory;
    size_t size;
    unsigned seed;
};
static struct block *blocks[THREADS + 1];
static int gate[2];
static _Atomic pid_t tids[THREADS];

static unsigned next_random(unsigned *state) { return *state = *state * 1103515245 + 12345; }

SEPARATE static void replace(struct block *b, unsigned *state) {
    if (b->memory)
        expect_pattern("block", b->memory, b->size, b->seed);
    free(b->memory);
    unsigned kind = next_random(state) >> 16;
    b->size = kind % 100 == 0 ? 200000 + kind % 7777 : kind % 10 == 0 ? 5000 + kind % 3000 : 1 + kind % 500;
    b->seed = kind;
    b->memory = malloc(b->size);
    fill_pattern(b->memory, b->size, b->seed);
}

SEPARATE static void churn(struct block *set, unsigned seed, int times) {
    for (int i = 0; i < times; i++)
        replace(&set[(next_random(&seed) >> 8) % BLOCKS], &seed);
}

SEPARATE static void drop(struct block *set) {
    for (int i = 0; i < BLOCKS; i++) {
        if (set[i].memory)
            expect_pattern("block at the end", set[i].memory, set[i].size, set[i].seed);
        free(set[i].memory);
    }
    free(set);
}

static void *worker(void *argument) {
    long index = (long)argument;
    char byte;
    churn(blocks[index], (unsigned)index + 1, 2 * BLOCKS);
    tids[index] = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    churn(blocks[index], (unsigned)index + 77, 2 * BLOCKS);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    must("pipe", pipe(gate));
    for (int i = 0; i <= THREADS; i++)
        blocks[i] = calloc(BLOCKS, sizeof(struct block));
    for (long i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, worker, (void *)i));
    churn(blocks[THREADS], 1000, 2 * BLOCKS);
    for (int i = 0; i < THREADS; i++)
        await_syscall(&tids[i], SYS_read);
    update_here();
    expect("release", THREADS, write(gate[1], "xxx", THREADS));
    churn(blocks[THREADS], 2000, 2 * BLOCKS);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    for (int i = 0; i <= THREADS; i++)
        drop(blocks[i]);
    return finish();
}

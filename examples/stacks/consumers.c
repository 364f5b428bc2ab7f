/* Producers and consumers around one queue. Each item has its producer's number and a place in that one's sequence, and must be consumed
 * once. Version 2 changes `consume` alone, the function that every consumer lives in: it counts what the new code has consumed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRODUCERS = 4, CONSUMERS = 4, ROOM = 64, MOST = 1 << 24 };

struct item {
    int producer; /* -1: no more */
    unsigned sequence;
};

static struct item queue[ROOM];
static unsigned head, length;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;

static atomic_uchar *consumed[PRODUCERS];
static unsigned produced[PRODUCERS];
static atomic_int stop;
static atomic_ulong consumed_so_far;
atomic_ulong consumed_by_new_code; /* not static: it must not be known that version 1 leaves it zero */

static void __attribute__((noinline)) put(struct item item) {
    pthread_mutex_lock(&lock);
    while (length == ROOM)
        pthread_cond_wait(&not_full, &lock);
    queue[(head + length++) % ROOM] = item;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static void __attribute__((noinline)) take(struct item *item) {
    pthread_mutex_lock(&lock);
    while (!length)
        pthread_cond_wait(&not_empty, &lock);
    *item = queue[head++ % ROOM];
    length--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
}

static void __attribute__((noinline)) mark(const struct item *item) {
    atomic_fetch_add(&consumed[item->producer][item->sequence], 1);
    atomic_fetch_add(&consumed_so_far, 1);
}

static void *produce(void *argument) {
    int producer = (int)(long)argument;
    unsigned sequence = 0;
    while (!atomic_load(&stop) && sequence < MOST)
        put((struct item){producer, sequence++});
    produced[producer] = sequence;
    return NULL;
}

static void *consume(void *argument) {
    unsigned long *total = argument;
    unsigned long own = 0, highest = 0;
    for (;;) {
        struct item item;
        take(&item);
        if (item.producer < 0)
            break;
        mark(&item);
        own++;
        if (item.sequence > highest)
            highest = item.sequence;
#if VERSION == 2
        atomic_fetch_add(&consumed_by_new_code, 1);
#endif
    }
    *total = own;
    return highest < MOST ? NULL : argument;
}

static unsigned long check(void) {
    unsigned long wrong = 0;
    for (int producer = 0; producer < PRODUCERS; producer++)
        for (unsigned sequence = 0; sequence < MOST; sequence++)
            wrong += consumed[producer][sequence] != (sequence < produced[producer]);
    return wrong;
}

int main(void) {
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    static unsigned long totals[CONSUMERS];
    char line[32];
    for (long i = 0; i < PRODUCERS; i++) {
        consumed[i] = calloc(MOST, 1);
        if (!consumed[i])
            return 2;
    }
    for (long i = 0; i < CONSUMERS; i++)
        if (pthread_create(&consumers[i], NULL, consume, &totals[i]))
            return 2;
    for (long i = 0; i < PRODUCERS; i++)
        if (pthread_create(&producers[i], NULL, produce, (void *)i))
            return 2;
    /* Each line is answered with what has been consumed by then; the end of input stops the producers. */
    while (fgets(line, sizeof line, stdin) && line[0] != 'q') {
        printf("consumed %lu by new code %lu\n", consumed_so_far, consumed_by_new_code);
        fflush(stdout);
    }
    atomic_store(&stop, 1);
    unsigned long sum = 0, own = 0, failed = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
        sum += produced[i];
    }
    for (int i = 0; i < CONSUMERS; i++)
        put((struct item){-1, 0});
    for (int i = 0; i < CONSUMERS; i++) {
        void *result;
        pthread_join(consumers[i], &result);
        failed += result != NULL;
        own += totals[i];
    }
    printf("produced %lu counted %lu lost or doubled %lu failed %lu by new code %lu\n", sum, own, check(), failed, consumed_by_new_code);
    return 0;
}

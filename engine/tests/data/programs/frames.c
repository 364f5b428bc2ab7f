// Items that only variables of functions lead to. Says where each is (O).
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item { struct item *next; long number; char name[24]; };
struct counts { long all; struct item *last; };

static struct item *make(void) {
    static int number;
    struct item *item = calloc(1, sizeof *item);
    item->number = ++number;
    dprintf(1, "O %lx\n", (long)item);
    return item;
}

__attribute__((noinline)) static void wait_here(int is_last) {
    char byte;
    if (is_last && write(1, "ready\n", 6) != 6) _exit(1);
    while (read(is_last ? 0 : -1, &byte, 1) > 0) {}
    if (!is_last) for (;;) pause();
}

static inline __attribute__((always_inline)) long in_line(struct item *argument, int is_last) {
    struct item *kept = make();
    wait_here(is_last);
    return argument->number + kept->number;
}

__attribute__((noinline)) static long by_value(struct item *given, int is_last) {
    struct item own;
    memset(&own, 0, sizeof own);
    own.next = make();
    dprintf(1, "O %lx\n", (long)&own);
    struct item *table[3] = {make(), &own, given};
    long sum = in_line(make(), is_last);
    for (int i = 0; i < 3; i++) sum += table[i]->number;
    return sum + own.next->number;
}

__attribute__((noinline)) static long saved(int is_last) {
    struct item *first = make(), *second = make();
    struct counts counts = {first->number, second};
    long sum = by_value(first, is_last);
    return sum + counts.all + counts.last->number + first->number;
}

static pthread_barrier_t ready;

static void *thread(void *argument) {
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&turn);
    struct item *mine = make();
    pthread_mutex_unlock(&turn);
    pthread_barrier_wait(&ready);
    while (mine->number != 77) pause();
    return mine;
}

int main(void) {
    pthread_t other;
    pthread_barrier_init(&ready, 0, 2);
    pthread_create(&other, 0, thread, 0);
    pthread_barrier_wait(&ready);
    return saved(1) == 7;
}

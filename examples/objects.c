/*
 * A program with many objects of one type, to measure with: COUNT of them, a third each in a list, a tree and a hash table.
 * Says "ready" when they are there. SIGUSR1: looks at every object and says so. SIGTERM: ends.
 * Built with -DVERSION=1 and -DVERSION=2: in the second one an object has more fields, in another order, and outgrows its block.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION 1
#endif

struct object {
#if VERSION == 1
    struct object *left, *right;
    uint64_t key, value;
    unsigned hits;
    const char *label;
#else
    uint64_t value, key;
    const char *label;
    double weight;
    struct object *right, *left;
    uint64_t hits, twice;
#endif
};

static struct object *list, *last, *tree, **table;
static size_t each;

static const char *label(uint64_t key)
{
    static const char *const labels[] = { "zero", "one", "two", "three" };
    return labels[key % 4];
}

static uint64_t mixed(uint64_t key)
{
    return (key + 1) * 0x9e3779b97f4a7c15u;
}

static int is_right(const struct object *object, uint64_t key)
{
#if VERSION == 2
    if (object->twice != object->value * 2 || object->weight != 0)
        return 0;
#endif
    return object->key == key && object->value == mixed(key) >> 8 && object->hits == key % 7 && object->label == label(key);
}

/* Kept out of the loop that waits, so that the loop is the same in both versions. */
__attribute__((noinline)) static void compare(void)
{
    size_t wrong = 0, seen = 0;
    for (struct object *object = list; object; object = object->right, seen++)
        wrong += !is_right(object, seen) || (object->right ? object->right->left != object : object != last);
    for (uint64_t key = 0; key < each; key++) {
        struct object *object = tree;
        while (object && object->key != mixed(key))
            object = mixed(key) < object->key ? object->left : object->right;
        wrong += !object || object->hits != key % 7;
        object = table[mixed(key) % each];
        while (object && object->key != key)
            object = object->left;
        wrong += !object || !is_right(object, key);
        seen += 2;
    }
    printf("objects %d: %zu objects, %zu wrong\n", VERSION, seen, wrong);
    fflush(stdout);
}

__attribute__((noinline)) static struct object *make(uint64_t key)
{
    struct object *object = calloc(1, sizeof *object);
    if (!object) {
        fprintf(stderr, "objects: no memory\n");
        exit(1);
    }
    object->key = key;
    object->value = mixed(key) >> 8;
    object->hits = key % 7;
    object->label = label(key);
#if VERSION == 2
    object->twice = object->value * 2;
#endif
    return object;
}

__attribute__((noinline)) static void fill(size_t count)
{
    each = count / 3;
    table = calloc(each, sizeof *table);
    for (uint64_t key = 0; table && key < each; key++) {
        struct object *object = make(key), **place = &tree;
        object->left = last;
        *(last ? &last->right : &list) = object;
        last = object;
        object = make(key);
        object->key = mixed(key);
        while (*place)
            place = object->key < (*place)->key ? &(*place)->left : &(*place)->right;
        *place = object;
        object = make(key);
        place = &table[mixed(key) % each];
        object->left = *place;
        *place = object;
    }
    printf("ready\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    sigset_t signals;
    if (argc != 2 || atol(argv[1]) < 3) {
        fprintf(stderr, "usage: objects COUNT\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    fill(atol(argv[1]));
    for (;;) {
        int signal = sigwaitinfo(&signals, NULL);
        if (signal == SIGTERM)
            return 0;
        if (signal == SIGUSR1)
            compare();
    }
}

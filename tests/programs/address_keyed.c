/* A hash table keyed by the addresses of statics: after the update lookups must succeed, or the update is refused. */
#include "check.h"

#define BUCKETS 61
struct entry {
    const void *key;
    int value;
    struct entry *next;
};
static struct entry *buckets[BUCKETS];
#if VERSION >= 2
static char shifts_everything[4096 * 3 + 8] = {1};
#endif
static int red, green, blue;

static unsigned hash(const void *key) { return (unsigned)(((uintptr_t)key >> 2) % BUCKETS); }

SEPARATE static void insert(const void *key, int value) {
    struct entry *made = malloc(sizeof *made);
#if VERSION >= 2
    shifts_everything[value]++;
#endif
    *made = (struct entry){key, value, buckets[hash(key)]};
    buckets[hash(key)] = made;
}

SEPARATE static int lookup(const void *key) {
    for (struct entry *e = buckets[hash(key)]; e; e = e->next)
        if (e->key == key)
            return e->value;
    return -1;
}

int main(void) {
    red = green = blue = 1;
    insert(&red, 1);
    insert(&green, 2);
    insert(&blue, 3);
    update_here();
    expect("red", 1, lookup(&red));
    expect("green", 2, lookup(&green));
    expect("blue", 3, lookup(&blue));
    return finish();
}

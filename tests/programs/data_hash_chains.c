/* A hash table of chains: an array of pointers in a block of its own, entries that outgrow their blocks, names in a third block. */
#include "data.h"

enum { ENTRIES = 200, BUCKETS = 64 };
struct entry {
    char *name;
    struct entry *next;
#if VERSION >= 2
    unsigned long hash;
    unsigned hits;
#endif
    int value;
};
struct table {
    struct entry **buckets;
    size_t size, used;
};
static struct table *table;

SEPARATE static unsigned long hash_name(const char *name) {
    unsigned long hash = 5381;
    while (*name)
        hash = hash * 33 + (unsigned char)*name++;
    return hash;
}

SEPARATE static struct entry **find(const char *name) {
    struct entry **link = &table->buckets[hash_name(name) % table->size];
    while (*link && strcmp((*link)->name, name))
        link = &(*link)->next;
    return link;
}

SEPARATE static void put(const char *name, int value) {
    struct entry **link = find(name);
    if (!*link) {
        *link = calloc(1, sizeof **link);
        (*link)->name = strdup(name);
        table->used++;
    }
    (*link)->value = value;
}

SEPARATE static void make(void) {
    char name[32];
    made_by = VERSION;
    table = malloc(sizeof *table);
    *table = (struct table){calloc(BUCKETS, sizeof(struct entry *)), BUCKETS, 0};
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "the name of %d", i);
        put(name, i * i);
    }
}

SEPARATE static void check(void) {
    char name[32];
    expect("entries", ENTRIES, (long long)table->used);
    put("one more", 1);
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "the name of %d", i);
        struct entry **link = find(name), *entry = *link;
        expect_true("an entry is found", entry != NULL);
        if (!entry)
            return;
        expect("value", i * i, entry->value);
#if VERSION >= 2
        expect("hash", 0, (long long)entry->hash);
        expect("hits", 0, entry->hits++);
#endif
        *link = entry->next;
        free(entry->name);
        free(entry);
    }
    struct entry **last = find("one more");
    expect("the new one", 1, (*last)->value);
    free((*last)->name);
    free(*last);
    free(table->buckets);
    free(table);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

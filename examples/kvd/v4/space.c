/* The spaces that keys belong to: a hash table of its own. Callers hold the lock of the store. */
#include "kvd.h"

enum { FIRST_SIZE = 16 };

static struct space_table {
    struct space **buckets;
    unsigned size, count; /* size is a power of two, or 0 before the first space */
} spaces;

/* FNV-1a. Entries hang where it said, so it stays the same. */
uint64_t hash_of(const char *text, size_t len) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

struct space *space_find(const char *name, size_t len) {
    uint64_t hash = hash_of(name, len);
    struct space *space = spaces.size ? spaces.buckets[hash & (spaces.size - 1)] : NULL;
    while (space && (space->hash != hash || strncmp(space->name, name, len) || space->name[len]))
        space = space->next;
    return space;
}

static void hang(struct space *space) {
    struct space **bucket = &spaces.buckets[space->hash & (spaces.size - 1)];
    space->next = *bucket;
    *bucket = space;
}

/* Doubles the table. */
static void grow(void) {
    struct space **old = spaces.buckets;
    unsigned old_size = spaces.size;
    spaces.size = old_size ? 2 * old_size : FIRST_SIZE;
    spaces.buckets = allocate(spaces.size * sizeof *spaces.buckets);
    for (unsigned i = 0; i < old_size; i++)
        for (struct space *space = old[i], *next; space; space = next) {
            next = space->next;
            hang(space);
        }
    free(old);
}

/* The space of a key that is to be stored. */
struct space *space_of(const char *key) {
    size_t len = strchr(key, ':') ? strcspn(key, ":") : 0;
    struct space *space = space_find(key, len);
    if (space)
        return space;
    if (spaces.count == spaces.size)
        grow();
    spaces.count++;
    space = allocate(sizeof *space);
    memcpy(space->name, key, len);
    space->hash = hash_of(key, len);
    hang(space);
    return space;
}

void space_each(void (*visit)(struct conn *conn, const struct space *space), struct conn *conn) {
    for (unsigned i = 0; i < spaces.size; i++)
        for (const struct space *space = spaces.buckets[i]; space; space = space->next)
            visit(conn, space);
}

/* The data: a hash table behind a lock. Entries may expire. */
#include "kvd.h"

enum { BUCKETS = 65536, SLICES = 16 };

/* Keys belong to the space that they begin with, up to a colon. Once made, a space stays. */
struct space {
    struct space *next;
    unsigned keys;
    char name[KEY_MAX_LEN + 1];
};

static struct space_list {
    struct space *first;
    unsigned count;
} spaces;

struct entry {
    struct entry *next;
    struct space *space;
    uint64_t expires_us; /* 0: never */
    char *value;
    enum form form;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *buckets[BUCKETS];

atomic_uint stat_keys, stat_expired;

static void drop(struct entry **place) {
    struct entry *entry = *place;
    *place = entry->next;
    entry->space->keys--;
    free(entry->value);
    free(entry);
    atomic_fetch_sub(&stat_keys, 1);
}

/* Drops what has expired in a chain. */
static void sweep(struct entry **place, uint64_t now) {
    while (*place) {
        if ((*place)->expires_us && (*place)->expires_us <= now) {
            drop(place);
            atomic_fetch_add(&stat_expired, 1);
        } else {
            place = &(*place)->next;
        }
    }
}

/* Takes the lock and finds where the key's entry hangs, or would. FNV-1a says where, so it stays the same. */
static struct entry **find(const char *key) {
    uint64_t hash = 14695981039346656037u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    pthread_mutex_lock(&lock);
    struct entry **place = &buckets[hash % BUCKETS];
    sweep(place, now_us());
    while (*place && strcmp((*place)->key, key))
        place = &(*place)->next;
    return place;
}

static enum result done(enum result result) {
    pthread_mutex_unlock(&lock);
    return result;
}

static struct space *space_find(const char *name, size_t len) {
    struct space *space = spaces.first;
    while (space && (strncmp(space->name, name, len) || space->name[len]))
        space = space->next;
    return space;
}

/* The space of a key that is to be stored. */
static struct space *space_of(const char *key) {
    size_t len = strchr(key, ':') ? strcspn(key, ":") : 0;
    struct space *space = space_find(key, len);
    if (!space) {
        space = allocate(sizeof *space);
        memcpy(space->name, key, len);
        space->next = spaces.first;
        spaces.first = space;
        spaces.count++;
    }
    return space;
}

static void put(struct entry **place, const char *key, const char *value, enum form form) {
    size_t size = strlen(value) + 1;
    char *copy = memcpy(allocate(size), value, size);
    if (!*place) {
        *place = allocate(sizeof **place + strlen(key) + 1);
        strcpy((*place)->key, key);
        (*place)->space = space_of(key);
        (*place)->space->keys++;
        atomic_fetch_add(&stat_keys, 1);
    }
    free((*place)->value);
    (*place)->value = copy;
    (*place)->form = form;
}

enum result store_set(const char *key, const char *value) {
    if (strlen(key) >= KEY_MAX_LEN || strlen(value) > VALUE_MAX_LEN)
        return TOO_LONG;
    struct entry **place = find(key);
    put(place, key, value, TEXT);
    (*place)->expires_us = 0;
    return done(OK);
}

enum result store_get(const char *key, char *value) {
    struct entry *entry = *find(key);
    if (entry)
        strcpy(value, entry->value);
    return done(entry ? OK : MISSING);
}

enum result store_delete(const char *key) {
    struct entry **place = find(key);
    if (!*place)
        return done(MISSING);
    drop(place);
    return done(OK);
}

enum result store_add(const char *key, long long delta, long long *sum) {
    char text[32], *end = "";
    if (strlen(key) >= KEY_MAX_LEN)
        return TOO_LONG;
    struct entry **place = find(key);
    errno = 0;
    *sum = *place ? strtoll((*place)->value, &end, 10) : 0;
    if (*end || errno)
        return done(NOT_A_NUMBER);
    if (__builtin_add_overflow(*sum, delta, sum))
        return done(OUT_OF_RANGE);
    snprintf(text, sizeof text, "%lld", *sum);
    put(place, key, text, NUMBER);
    return done(OK);
}

enum result store_form(const char *key, enum form *form) {
    struct entry *entry = *find(key);
    if (entry)
        *form = entry->form;
    return done(entry ? OK : MISSING);
}

enum result store_expire(const char *key, uint64_t ttl_ms) {
    struct entry *entry = *find(key);
    if (entry)
        entry->expires_us = now_us() + ttl_ms * 1000;
    return done(entry ? OK : MISSING);
}

/* How many keys there are in a space. */
unsigned store_count(const char *name) {
    pthread_mutex_lock(&lock);
    struct space *space = space_find(name, strlen(name));
    unsigned keys = space ? space->keys : 0;
    pthread_mutex_unlock(&lock);
    return keys;
}

void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BUCKETS; i++)
        for (struct entry *entry = buckets[i]; entry; entry = entry->next)
            if (!strncmp(entry->key, prefix, strlen(prefix)))
                visit(conn, entry->key);
    pthread_mutex_unlock(&lock);
}

/* Drops what has expired in the next slice of the table. */
void store_sweep(void) {
    static unsigned turn;
    unsigned slice = turn++ % SLICES;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BUCKETS / SLICES; i++)
        sweep(&buckets[slice * (BUCKETS / SLICES) + i], now_us());
    pthread_mutex_unlock(&lock);
}

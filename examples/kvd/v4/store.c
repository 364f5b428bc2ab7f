/* The data: a hash table behind a lock. Entries may expire. */
#include "kvd.h"

enum { BUCKETS = 65536, SLICES = 16 };

struct entry {
    struct entry *next;
    struct space *space;
    char *value;
    size_t value_len;
    enum form form;
    struct life life;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *buckets[BUCKETS];

atomic_ulong stat_keys, stat_expired, stat_hits, stat_misses;

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (!memory)
        die("memory");
    return memory;
}

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
        if ((*place)->life.expires_ns && (*place)->life.expires_ns <= now) {
            drop(place);
            atomic_fetch_add(&stat_expired, 1);
        } else {
            place = &(*place)->next;
        }
    }
}

/* Takes the lock and finds where the key's entry hangs, or would. */
static struct entry **find(const char *key) {
    uint64_t hash = hash_of(key, strlen(key));
    pthread_mutex_lock(&lock);
    struct entry **place = &buckets[hash % BUCKETS];
    sweep(place, now_ns());
    while (*place && strcmp((*place)->key, key))
        place = &(*place)->next;
    return place;
}

static enum result done(enum result result) {
    pthread_mutex_unlock(&lock);
    return result;
}

static void put(struct entry **place, const char *key, const char *value, enum form form) {
    size_t len = strlen(value);
    char *copy = memcpy(allocate(len + 1), value, len);
    if (!*place) {
        *place = allocate(sizeof **place + strlen(key) + 1);
        strcpy((*place)->key, key);
        (*place)->space = space_of(key);
        (*place)->space->keys++;
        atomic_fetch_add(&stat_keys, 1);
    }
    free((*place)->value);
    (*place)->value = copy;
    (*place)->value_len = len;
    (*place)->form = form;
    (*place)->life.writes++;
}

/* Keys and values as long as the limits are fine. */
static bool too_long(const char *key, size_t value_len) {
    return strlen(key) > KEY_MAX_LEN || value_len > VALUE_MAX_LEN;
}

/* Sets a value, and gives the one before to who asks for it; MISSING says that there was none. */
enum result store_set(const char *key, const char *value, char *before) {
    if (too_long(key, strlen(value)))
        return TOO_LONG;
    struct entry **place = find(key);
    enum result result = *place || !before ? OK : MISSING;
    if (*place && before)
        strcpy(before, (*place)->value);
    put(place, key, value, TEXT);
    (*place)->life.expires_ns = 0;
    return done(result);
}

enum result store_get(const char *key, char *value) {
    struct entry *entry = *find(key);
    atomic_fetch_add(entry ? &stat_hits : &stat_misses, 1);
    if (entry) {
        memcpy(value, entry->value, entry->value_len + 1);
        entry->life.reads++;
        entry->space->reads++;
    }
    return done(entry ? OK : MISSING);
}

enum result store_remove(const char *key) {
    struct entry **place = find(key);
    if (!*place)
        return done(MISSING);
    drop(place);
    return done(OK);
}

enum result store_add(const char *key, long long delta, long long *sum) {
    char text[32], *end = "";
    if (too_long(key, 0))
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

/* Appends to a value, or sets it; the time to live stays. */
enum result store_append(const char *key, const char *tail) {
    char joined[VALUE_MAX_LEN + 1];
    struct entry **place = find(key);
    const char *head = *place ? (*place)->value : "";
    if (too_long(key, (*place ? (*place)->value_len : 0) + strlen(tail)))
        return done(TOO_LONG);
    snprintf(joined, sizeof joined, "%s%s", head, tail);
    put(place, key, joined, TEXT);
    return done(OK);
}

enum result store_info(const char *key, struct info *info) {
    struct entry *entry = *find(key);
    if (entry)
        *info = (struct info){entry->form, entry->value_len, entry->life};
    return done(entry ? OK : MISSING);
}

enum result store_expire(const char *key, uint64_t ttl_ms) {
    struct entry *entry = *find(key);
    if (entry)
        entry->life.expires_ns = now_ns() + ttl_ms * 1000000;
    return done(entry ? OK : MISSING);
}

/* How many keys there are in a space. */
unsigned long store_count(const char *name) {
    pthread_mutex_lock(&lock);
    struct space *space = space_find(name, strlen(name));
    unsigned long keys = space ? space->keys : 0;
    pthread_mutex_unlock(&lock);
    return keys;
}

void store_spaces(void (*visit)(struct conn *conn, const struct space *space), struct conn *conn) {
    pthread_mutex_lock(&lock);
    space_each(visit, conn);
    pthread_mutex_unlock(&lock);
}

void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn) {
    size_t len = strlen(prefix);
    pthread_mutex_lock(&lock);
    uint64_t now = now_ns();
    for (int i = 0; i < BUCKETS; i++) {
        sweep(&buckets[i], now);
        for (struct entry *entry = buckets[i]; entry; entry = entry->next)
            if (!strncmp(entry->key, prefix, len))
                visit(conn, entry->key);
    }
    pthread_mutex_unlock(&lock);
}

/* Drops what has expired in the next two slices of the table: one was too slow for short-lived keys. */
void store_sweep(void) {
    static unsigned turn;
    unsigned slice = turn % SLICES;
    turn += 2;
    uint64_t now = now_ns();
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 2 * BUCKETS / SLICES; i++)
        sweep(&buckets[(slice * (BUCKETS / SLICES) + i) % BUCKETS], now);
    pthread_mutex_unlock(&lock);
}

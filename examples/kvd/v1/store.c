/* The data: a hash table in shards, each with a lock of its own. Entries may expire. */
#include "kvd.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, BUCKETS = 4096 };

struct entry {
    struct entry *next;
    uint64_t expires_us; /* 0: never */
    char *value;
    char key[];
};

static struct shard {
    pthread_mutex_t lock;
    struct entry **buckets;
} shards[SHARDS];

atomic_ulong stat_keys, stat_expired;

void store_init(void)
{
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&shards[i].lock, NULL);
        shards[i].buckets = allocate(BUCKETS * sizeof *shards[i].buckets);
    }
}

/* FNV-1a. Entries hang where it says, so it stays the same. */
static uint64_t hash(const char *key)
{
    uint64_t h = 14695981039346656037u;
    while (*key)
        h = (h ^ (unsigned char)*key++) * 1099511628211u;
    return h;
}

static bool expired(const struct entry *entry, uint64_t now)
{
    return entry->expires_us && entry->expires_us <= now;
}

static void drop(struct entry **place)
{
    struct entry *entry = *place;
    *place = entry->next;
    free(entry->value);
    free(entry);
    atomic_fetch_sub(&stat_keys, 1);
}

/* Drops what has expired in a chain. */
static void sweep(struct entry **place, uint64_t now)
{
    while (*place) {
        if (expired(*place, now)) {
            drop(place);
            atomic_fetch_add(&stat_expired, 1);
        } else {
            place = &(*place)->next;
        }
    }
}

/* Locks the key's shard and finds where its entry hangs, or would. */
static struct entry **find(const char *key, struct shard **shard)
{
    uint64_t h = hash(key);
    *shard = &shards[h % SHARDS];
    pthread_mutex_lock(&(*shard)->lock);
    struct entry **place = &(*shard)->buckets[h / SHARDS % BUCKETS];
    sweep(place, now_us());
    while (*place && strcmp((*place)->key, key))
        place = &(*place)->next;
    return place;
}

static void put(struct entry **place, const char *key, const char *value)
{
    size_t size = strlen(value) + 1;
    char *copy = memcpy(allocate(size), value, size);
    if (!*place) {
        *place = allocate(sizeof **place + strlen(key) + 1);
        strcpy((*place)->key, key);
        atomic_fetch_add(&stat_keys, 1);
    }
    free((*place)->value);
    (*place)->value = copy;
}

enum store_result store_set(const char *key, const char *value)
{
    struct shard *shard;
    if (strlen(key) >= KEY_MAX_LEN || strlen(value) > VALUE_MAX_LEN)
        return STORE_TOO_LONG;
    struct entry **place = find(key, &shard);
    put(place, key, value);
    (*place)->expires_us = 0;
    pthread_mutex_unlock(&shard->lock);
    return STORE_OK;
}

enum store_result store_get(const char *key, char *value)
{
    struct shard *shard;
    struct entry *entry = *find(key, &shard);
    if (entry)
        strcpy(value, entry->value);
    pthread_mutex_unlock(&shard->lock);
    return entry ? STORE_OK : STORE_MISSING;
}

enum store_result store_delete(const char *key)
{
    struct shard *shard;
    struct entry **place = find(key, &shard);
    enum store_result result = *place ? STORE_OK : STORE_MISSING;
    if (*place)
        drop(place);
    pthread_mutex_unlock(&shard->lock);
    return result;
}

static enum store_result add_locked(struct entry **place, const char *key, long long delta, long long *sum)
{
    char text[32], *end = NULL;
    errno = 0;
    *sum = *place ? strtoll((*place)->value, &end, 10) : 0;
    if (end && (end == (*place)->value || *end || errno))
        return STORE_NOT_A_NUMBER;
    if (__builtin_add_overflow(*sum, delta, sum))
        return STORE_OVERFLOW;
    snprintf(text, sizeof text, "%lld", *sum);
    put(place, key, text);
    return STORE_OK;
}

enum store_result store_add(const char *key, long long delta, long long *sum)
{
    struct shard *shard;
    if (strlen(key) >= KEY_MAX_LEN)
        return STORE_TOO_LONG;
    struct entry **place = find(key, &shard);
    enum store_result result = add_locked(place, key, delta, sum);
    pthread_mutex_unlock(&shard->lock);
    return result;
}

enum store_result store_expire(const char *key, uint64_t ttl_ms)
{
    struct shard *shard;
    struct entry *entry = *find(key, &shard);
    if (entry)
        entry->expires_us = now_us() + ttl_ms * 1000;
    pthread_mutex_unlock(&shard->lock);
    return entry ? STORE_OK : STORE_MISSING;
}

void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn)
{
    for (struct shard *shard = shards; shard < shards + SHARDS; shard++) {
        pthread_mutex_lock(&shard->lock);
        for (int i = 0; i < BUCKETS; i++)
            for (struct entry *entry = shard->buckets[i]; entry; entry = entry->next)
                if (!strncmp(entry->key, prefix, strlen(prefix)))
                    visit(conn, entry->key);
        pthread_mutex_unlock(&shard->lock);
    }
}

/* Drops what has expired in the next shard. */
void store_sweep(void)
{
    static unsigned turn;
    struct shard *shard = &shards[turn++ % SHARDS];
    pthread_mutex_lock(&shard->lock);
    for (int i = 0; i < BUCKETS; i++)
        sweep(&shard->buckets[i], now_us());
    pthread_mutex_unlock(&shard->lock);
}

/* kvd, a small in-memory key-value server: what its files share. One thread waits for events (main.c) and hands readable
 * connections to a pool of workers, which read, execute and answer (net.c, command.c). Data lives in a hash table (store.c),
 * and so do the spaces that keys belong to (space.c). */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define KVD_VERSION "2.0.0"

enum { KEY_MAX_LEN = 64, VALUE_MAX_LEN = 1024, LINE_MAX_LEN = 1280, MAX_ARGUMENTS = 4, MAX_WORKERS = 64 };

/* Something that epoll watches. Connections begin with one; the listener and its like are static ones. */
struct source {
    int fd;
    void (*ready)(struct source *source);
};

struct conn {
    struct source source; /* first, so that a source can be cast to its connection */
    struct conn *next_job;
    const struct command *last; /* what the peer asked for last */
    unsigned long commands;
    FILE *out; /* replies, sent when all that was asked is answered */
    size_t in_len;
    char in[LINE_MAX_LEN];
};

extern int epoll_fd;
void pool_start(unsigned workers);
void jobs_push(struct conn *conn);
unsigned worker_number(void);

void setup(int argc, char **argv);

void source_watch(struct source *source, uint32_t events, int operation);
void net_listen(unsigned port);
void conn_serve(struct conn *conn);
extern atomic_ulong stat_connections, stat_open;

void command_execute(struct conn *conn, char *line);
const char *command_name(const struct command *command);
extern atomic_ulong stat_commands, stat_errors, stat_busy_ns;

void run_stats(struct conn *conn, char **arguments);
void stats_log(void);

/* Keys belong to the space that they begin with, up to a colon. Once made, a space stays. */
struct space {
    struct space *next; /* in its bucket */
    uint64_t hash;
    unsigned long keys, reads;
    char name[KEY_MAX_LEN + 1];
};
uint64_t hash_of(const char *text, size_t len);
struct space *space_find(const char *name, size_t len);
struct space *space_of(const char *key);
void space_each(void (*visit)(struct conn *conn, const struct space *space), struct conn *conn);

/* What a value is; an entry without one does not get far. */
enum form { UNSET, NUMBER, TEXT };

/* What changes with the use of an entry. */
struct life {
    uint64_t expires_ns; /* 0: never */
    unsigned reads, writes;
};

struct info {
    enum form form;
    size_t value_len;
    struct life life;
};

enum result { OK, MISSING, NOT_A_NUMBER, OUT_OF_RANGE, TOO_LONG };
enum result store_get(const char *key, char *value);
enum result store_set(const char *key, const char *value, char *before);
enum result store_remove(const char *key);
enum result store_add(const char *key, long long delta, long long *sum);
enum result store_append(const char *key, const char *tail);
enum result store_info(const char *key, struct info *info);
enum result store_expire(const char *key, uint64_t ttl_ms);
void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn);
unsigned long store_count(const char *space);
void store_spaces(void (*visit)(struct conn *conn, const struct space *space), struct conn *conn);
void store_sweep(void);
uint64_t now_ns(void);
void *allocate(size_t size);
extern atomic_ulong stat_keys, stat_expired, stat_hits, stat_misses;

extern const char *log_path;
void log_open(void);
void log_flush(void);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what) __attribute__((noreturn));

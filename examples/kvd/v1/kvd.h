/* kvd, a small in-memory key-value server: what its files share. One thread waits for events (main.c) and hands readable
 * connections to a pool of workers, which read, execute and answer (net.c, command.c). Data lives in a hash table (store.c). */
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

#define KVD_VERSION "1.0.0"

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
uint64_t now_us(void);

void source_watch(struct source *source, uint32_t events, int operation);
void net_listen(unsigned port);
void conn_serve(struct conn *conn);
extern atomic_uint stat_connections, stat_open;

void command_execute(struct conn *conn, char *line);
const char *command_name(const struct command *command);
void stats_log(void);
extern atomic_uint stat_commands, stat_errors, stat_busy_us;

/* What a value is. */
enum form { TEXT, NUMBER };

enum result { OK, MISSING, NOT_A_NUMBER, OUT_OF_RANGE, TOO_LONG };
enum result store_get(const char *key, char *value);
enum result store_set(const char *key, const char *value);
enum result store_delete(const char *key);
enum result store_add(const char *key, long long delta, long long *sum);
enum result store_form(const char *key, enum form *form);
enum result store_expire(const char *key, uint64_t ttl_ms);
void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn);
unsigned store_count(const char *space);
void store_sweep(void);
extern atomic_uint stat_keys, stat_expired;

extern const char *log_path;
void log_open(void);
void log_flush(void);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what) __attribute__((noreturn));
void *allocate(size_t size);

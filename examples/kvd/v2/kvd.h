/*
 * kvd, a small in-memory key-value server: what its files share.
 *
 * One thread waits for events (main.c) and hands readable connections to a pool of workers, which read,
 * execute and answer (net.c, command.c). Data lives in a sharded hash table (store.c).
 */
#ifndef KVD_H
#define KVD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define KVD_VERSION "1.1.0"

enum { KEY_MAX_LEN = 64, VALUE_MAX_LEN = 1024, LINE_MAX_LEN = 1280, MAX_ARGUMENTS = 4, MAX_WORKERS = 64 };
enum { SWEEP_INTERVAL_MS = 100, FLUSH_INTERVAL_MS = 500, SLOW_COMMAND_US = 20000 };

/* Something that epoll watches. Connections begin with one; the listener and its like are static ones. */
struct source {
    int fd;
    void (*ready)(struct source *source);
};

struct command;

struct conn {
    struct source source; /* first, so that a source can be cast to its connection */
    struct conn *next_job;
    const struct command *last; /* what the peer asked for last */
    unsigned long commands;
    size_t in_len, out_len, out_sent, out_cap;
    bool closing;
    char *out; /* replies to send: out[out_sent..out_len] */
    char in[LINE_MAX_LEN];
};

enum store_result { STORE_OK, STORE_MISSING, STORE_NOT_A_NUMBER, STORE_OVERFLOW, STORE_TOO_LONG };

/* main.c: the loops, and the queue between them */
extern int epoll_fd;
void pool_start(unsigned workers);
void jobs_push(struct conn *conn);
unsigned worker_number(void);

/* setup.c: options, signals, timers, the end */
void setup(int argc, char **argv);
extern uint64_t started_us;

/* net.c: sources and connections */
void source_watch(struct source *source, uint32_t events, int operation);
void events_dispatch(const struct epoll_event *events, int count);
void net_listen(unsigned port);
void conn_serve(struct conn *conn);
void conn_reply(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern atomic_ulong stat_connections, stat_open, stat_bytes_in, stat_bytes_out;

/* command.c: the protocol */
void command_execute(struct conn *conn, char *line);
const char *command_name(const struct command *command);
void stats_log(void);
extern atomic_ulong stat_commands, stat_errors, stat_slow;

/* store.c: the data */
void store_init(void);
enum store_result store_get(const char *key, char *value);
enum store_result store_set(const char *key, const char *value);
enum store_result store_delete(const char *key);
enum store_result store_add(const char *key, long long delta, long long *sum);
enum store_result store_append(const char *key, const char *tail);
enum store_result store_expire(const char *key, uint64_t ttl_ms);
enum store_result store_ttl(const char *key, long long *ttl_ms);
void store_each(const char *prefix, void (*visit)(struct conn *conn, const char *key), struct conn *conn);
void store_sweep(void);
uint64_t now_us(void);
extern atomic_ulong stat_keys, stat_expired, stat_appended_bytes;

/* log.c: a buffered log file */
void log_open(const char *path);
void log_reopen(void);
void log_flush(void);
void log_close(void);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what) __attribute__((noreturn));
void *allocate(size_t size);

#endif

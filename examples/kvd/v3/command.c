/*
 * The protocol. A request is a line: a command and its arguments, the last of which may hold spaces.
 * A reply is a line: +text, =value, :number, -ERR text, _ for nothing; or a list, =item lines and a dot.
 */
#include "kvd.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum class { READ, WRITE, ADMIN, CLASSES };

struct command {
    const char *name;
    void (*run)(struct conn *conn, char **arguments, int count);
    int min_arguments, max_arguments;
    enum class class;
};

static struct usage {
    const char *name;
    atomic_ulong calls, errors, slowest_us;
} usage[CLASSES] = {{.name = "read"}, {.name = "write"}, {.name = "admin"}};

atomic_ulong stat_commands, stat_errors;

static void reply_error(struct conn *conn, const char *message)
{
    atomic_fetch_add(&stat_errors, 1);
    if (conn->last)
        atomic_fetch_add(&usage[conn->last->class].errors, 1);
    conn_reply(conn, "-ERR %s", message);
}

/* Answers everything but success. */
static bool succeeded(struct conn *conn, enum store_result result)
{
    static const char *const messages[] = {
        [STORE_NOT_A_NUMBER] = "not an integer",
        [STORE_OVERFLOW] = "integer overflow",
        [STORE_TOO_LONG] = "key or value too long",
    };
    if (result == STORE_MISSING)
        conn_reply(conn, "_");
    else if (result != STORE_OK)
        reply_error(conn, messages[result]);
    return result == STORE_OK;
}

static void run_append(struct conn *conn, char **arguments, int count)
{
    (void)count;
    if (succeeded(conn, store_append(arguments[0], arguments[1])))
        conn_reply(conn, "+OK");
}

static void add(struct conn *conn, const char *key, long long delta)
{
    long long sum;
    if (succeeded(conn, store_add(key, delta, &sum)))
        conn_reply(conn, ":%lld", sum);
}

static void run_decr(struct conn *conn, char **arguments, int count)
{
    (void)count;
    add(conn, arguments[0], -1);
}

static void run_del(struct conn *conn, char **arguments, int count)
{
    conn_reply(conn, ":%d", store_remove(arguments, count));
}

static void run_expire(struct conn *conn, char **arguments, int count)
{
    (void)count;
    char *end;
    unsigned long long ttl_ms = strtoull(arguments[1], &end, 10);
    if (*end || end == arguments[1])
        reply_error(conn, "not a number of milliseconds");
    else if (succeeded(conn, store_expire(arguments[0], ttl_ms)))
        conn_reply(conn, "+OK");
}

static void run_get(struct conn *conn, char **arguments, int count)
{
    char value[VALUE_MAX_LEN + 1];
    (void)count;
    if (succeeded(conn, store_get(arguments[0], value)))
        conn_reply(conn, "=%s", value);
}

static void run_getset(struct conn *conn, char **arguments, int count)
{
    char before[VALUE_MAX_LEN + 1];
    (void)count;
    if (succeeded(conn, store_swap(arguments[0], arguments[1], before)))
        conn_reply(conn, "=%s", before);
}

static void run_incr(struct conn *conn, char **arguments, int count)
{
    (void)count;
    add(conn, arguments[0], 1);
}

static void list_key(struct conn *conn, const char *key)
{
    conn_reply(conn, "=%s", key);
}

static void run_keys(struct conn *conn, char **arguments, int count)
{
    store_each(count ? arguments[0] : "", list_key, conn);
    conn_reply(conn, ".");
}

static void run_ping(struct conn *conn, char **arguments, int count)
{
    conn_reply(conn, "+%s", count ? arguments[0] : "PONG");
}

static void run_quit(struct conn *conn, char **arguments, int count)
{
    (void)arguments, (void)count;
    conn_reply(conn, "+BYE");
    conn->closing = true;
}

static void run_set(struct conn *conn, char **arguments, int count)
{
    (void)count;
    if (succeeded(conn, store_set(arguments[0], arguments[1])))
        conn_reply(conn, "+OK");
}

static void list_number(struct conn *conn, const char *name, unsigned long value)
{
    conn_reply(conn, "=%s %lu", name, value);
}

static void run_stats(struct conn *conn, char **arguments, int count)
{
    (void)arguments, (void)count;
    stats_each(list_number, conn);
    for (int i = 0; i < CLASSES; i++)
        conn_reply(conn, "=%s %lu calls, %lu errors, slowest %lu us", usage[i].name, atomic_load(&usage[i].calls),
                   atomic_load(&usage[i].errors), atomic_load(&usage[i].slowest_us));
    conn_reply(conn, ".");
}

static void run_ttl(struct conn *conn, char **arguments, int count)
{
    long long ttl_ms;
    (void)count;
    if (succeeded(conn, store_ttl(arguments[0], &ttl_ms)))
        conn_reply(conn, ":%lld", ttl_ms);
}

static void run_version(struct conn *conn, char **arguments, int count)
{
    (void)arguments, (void)count;
    conn_reply(conn, "+kvd %s", KVD_VERSION);
}

/* Sorted by name. */
static const struct command commands[] = {
    {"APPEND", run_append, 2, 2, WRITE},
    {"DECR", run_decr, 1, 1, WRITE},
    {"DEL", run_del, 1, MAX_ARGUMENTS, WRITE},
    {"EXPIRE", run_expire, 2, 2, WRITE},
    {"GET", run_get, 1, 1, READ},
    {"GETSET", run_getset, 2, 2, WRITE},
    {"INCR", run_incr, 1, 1, WRITE},
    {"KEYS", run_keys, 0, 1, READ},
    {"PING", run_ping, 0, 1, ADMIN},
    {"QUIT", run_quit, 0, 0, ADMIN},
    {"SET", run_set, 2, 2, WRITE},
    {"STATS", run_stats, 0, 0, ADMIN},
    {"TTL", run_ttl, 1, 1, READ},
    {"VERSION", run_version, 0, 0, ADMIN},
};

static int compare(const void *name, const void *command)
{
    return strcasecmp(name, ((const struct command *)command)->name);
}

const char *command_name(const struct command *command)
{
    return command ? command->name : "none";
}

/* Splits at spaces; the last argument that a command takes goes on to the end of the line. */
static int split(char *text, char **arguments, int max)
{
    int count = 0;
    while (*(text += strspn(text, " ")) && count < max) {
        arguments[count++] = text;
        text += count == max ? strlen(text) : strcspn(text, " ");
        if (*text)
            *text++ = '\0';
    }
    return count;
}

void command_execute(struct conn *conn, char *line)
{
    char *arguments[MAX_ARGUMENTS], *rest = line + strcspn(line, " ");
    uint64_t start = now_us();

    if (*rest)
        *rest++ = '\0';
    atomic_fetch_add(&stat_commands, 1);
    conn->last = bsearch(line, commands, sizeof commands / sizeof *commands, sizeof *commands, compare);
    if (!conn->last) {
        reply_error(conn, *line ? "unknown command" : "empty request");
        return;
    }
    struct usage *used = &usage[conn->last->class];
    atomic_fetch_add(&used->calls, 1);
    int count = split(rest, arguments, conn->last->max_arguments);
    if (count < conn->last->min_arguments)
        reply_error(conn, "too few arguments");
    else
        conn->last->run(conn, arguments, count);
    uint64_t took = now_us() - start;
    if (took > atomic_load(&used->slowest_us))
        atomic_store(&used->slowest_us, took);
}

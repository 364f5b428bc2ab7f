/*
 * The protocol. A request is a line: a command and its arguments, the last of which may hold spaces.
 * A reply is a line: +text, =value, :number, -ERR text, _ for nothing; or a list, =item lines and a dot.
 */
#include "kvd.h"

struct command {
    const char *name;
    void (*run)(struct conn *conn, char **arguments);
    int min_arguments, max_arguments;
};

atomic_uint stat_commands, stat_errors, stat_busy_us;

static void reply_error(struct conn *conn, const char *message) {
    atomic_fetch_add(&stat_errors, 1);
    fprintf(conn->out, "-ERR %s\n", message);
}

/* Answers everything but success. */
static bool succeeded(struct conn *conn, enum result result) {
    static const char *const messages[] = {
        [NOT_A_NUMBER] = "not an integer",
        [OUT_OF_RANGE] = "integer out of range",
        [TOO_LONG] = "key or value too long",
    };
    if (result == MISSING)
        fprintf(conn->out, "_\n");
    else if (result != OK)
        reply_error(conn, messages[result]);
    return result == OK;
}

static void run_append(struct conn *conn, char **arguments) {
    if (succeeded(conn, store_append(arguments[0], arguments[1])))
        fprintf(conn->out, "+OK\n");
}

static void add(struct conn *conn, const char *key, long long delta) {
    long long sum;
    if (succeeded(conn, store_add(key, delta, &sum)))
        fprintf(conn->out, ":%lld\n", sum);
}

static void run_decr(struct conn *conn, char **arguments) {
    add(conn, arguments[0], -1);
}

static void run_del(struct conn *conn, char **arguments) {
    int deleted = 0;
    for (; *arguments; arguments++)
        deleted += store_remove(*arguments) == OK;
    fprintf(conn->out, ":%d\n", deleted);
}

static void run_expire(struct conn *conn, char **arguments) {
    char *end;
    uint64_t ttl_ms = strtoull(arguments[1], &end, 10);
    if (*end || end == arguments[1])
        reply_error(conn, "not a number of milliseconds");
    else if (succeeded(conn, store_expire(arguments[0], ttl_ms)))
        fprintf(conn->out, "+OK\n");
}

static void run_get(struct conn *conn, char **arguments) {
    char value[VALUE_MAX_LEN + 1];
    if (succeeded(conn, store_get(arguments[0], value)))
        fprintf(conn->out, "=%s\n", value);
}

static void run_getset(struct conn *conn, char **arguments) {
    char before[VALUE_MAX_LEN + 1];
    if (succeeded(conn, store_set(arguments[0], arguments[1], before)))
        fprintf(conn->out, "=%s\n", before);
}

static void run_incr(struct conn *conn, char **arguments) {
    add(conn, arguments[0], 1);
}

static void list_key(struct conn *conn, const char *key) {
    fprintf(conn->out, "=%s\n", key);
}

static void run_keys(struct conn *conn, char **arguments) {
    store_each(*arguments ? *arguments : "", list_key, conn);
    fprintf(conn->out, ".\n");
}

static void run_ping(struct conn *conn, char **arguments) {
    fprintf(conn->out, "+%s\n", *arguments ? *arguments : "PONG");
}

static void run_set(struct conn *conn, char **arguments) {
    if (succeeded(conn, store_set(arguments[0], arguments[1], NULL)))
        fprintf(conn->out, "+OK\n");
}

static void run_space(struct conn *conn, char **arguments) {
    fprintf(conn->out, ":%u\n", store_count(*arguments ? *arguments : ""));
}

static void run_type(struct conn *conn, char **arguments) {
    enum form form;
    if (succeeded(conn, store_form(arguments[0], &form)))
        fprintf(conn->out, "+%s\n", form == NUMBER ? "number" : "text");
}

static void run_version(struct conn *conn, char **arguments) {
    (void)arguments;
    fprintf(conn->out, "+kvd %s\n", KVD_VERSION);
}

/* Sorted by name. */
static const struct command commands[] = {
    {"APPEND", run_append, 2, 2}, {"DECR", run_decr, 1, 1},     {"DEL", run_del, 1, MAX_ARGUMENTS}, {"EXPIRE", run_expire, 2, 2},
    {"GET", run_get, 1, 1},       {"GETSET", run_getset, 2, 2}, {"INCR", run_incr, 1, 1},           {"KEYS", run_keys, 0, 1},
    {"PING", run_ping, 0, 1},     {"SET", run_set, 2, 2},       {"SPACE", run_space, 0, 1},         {"STATS", run_stats, 0, 0},
    {"TYPE", run_type, 1, 1},     {"VERSION", run_version, 0, 0},
};

static int compare(const void *name, const void *command) {
    return strcasecmp(name, ((const struct command *)command)->name);
}

const char *command_name(const struct command *command) {
    return command ? command->name : "none";
}

/* Splits at spaces; the last argument that a command takes goes on to the end of the line. */
static int split(char *text, char **arguments, int max) {
    int count = 0;
    while (*(text += strspn(text, " ")) && count < max) {
        arguments[count++] = text;
        text += count == max ? strlen(text) : strcspn(text, " ");
        if (*text)
            *text++ = '\0';
    }
    return count;
}

void command_execute(struct conn *conn, char *line) {
    char *arguments[MAX_ARGUMENTS + 1] = {NULL}, *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = '\0';
    atomic_fetch_add(&stat_commands, 1);
    uint64_t start = now_us();
    conn->last = bsearch(line, commands, sizeof commands / sizeof *commands, sizeof *commands, compare);
    if (!conn->last)
        reply_error(conn, *line ? "unknown command" : "empty request");
    else if (split(rest, arguments, conn->last->max_arguments) < conn->last->min_arguments)
        reply_error(conn, "too few arguments");
    else
        conn->last->run(conn, arguments);
    atomic_fetch_add(&stat_busy_us, now_us() - start);
}

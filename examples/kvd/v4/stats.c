/* What STATS and the log say about the server. */
#include "kvd.h"

static const struct stat {
    const char *name;
    const atomic_ulong *value;
    unsigned unit;
} stats[] = {
    {"connections", &stat_connections, 1}, {"open", &stat_open, 1}, {"commands", &stat_commands, 1},
    {"errors", &stat_errors, 1},           {"keys", &stat_keys, 1}, {"expired", &stat_expired, 1},
    {"busy_us", &stat_busy_ns, 1000},      {"hits", &stat_hits, 1}, {"misses", &stat_misses, 1},
};
enum { STATS = sizeof stats / sizeof *stats };

static unsigned long value(const struct stat *stat) {
    return atomic_load(stat->value) / stat->unit;
}

void run_stats(struct conn *conn, char **arguments) {
    (void)arguments;
    for (int i = 0; i < STATS; i++)
        fprintf(conn->out, "=%s %lu\n", stats[i].name, value(&stats[i]));
    fprintf(conn->out, ".\n");
}

/* Writes the statistics to the log, as one line. */
void stats_log(void) {
    static char text[1024];
    size_t len = 0;
    for (int i = 0; i < STATS; i++)
        len += snprintf(text + len, sizeof text - len, " %s=%lu", stats[i].name, value(&stats[i]));
    log_line("kvd %s:%s", KVD_VERSION, text);
}

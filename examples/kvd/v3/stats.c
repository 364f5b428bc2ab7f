/* What STATS and the log say about the server. */
#include "kvd.h"

static const struct stat {
    const char *name;
    const atomic_uint *value;
} stats[] = {
    {"connections", &stat_connections}, {"open", &stat_open}, {"commands", &stat_commands},
    {"errors", &stat_errors},           {"keys", &stat_keys}, {"expired", &stat_expired},
    {"busy_us", &stat_busy_us},
};
enum { STATS = sizeof stats / sizeof *stats };

void run_stats(struct conn *conn, char **arguments) {
    (void)arguments;
    for (int i = 0; i < STATS; i++)
        fprintf(conn->out, "=%s %u\n", stats[i].name, atomic_load(stats[i].value));
    fprintf(conn->out, ".\n");
}

/* Writes the statistics to the log, as one line. */
void stats_log(void) {
    static char text[1024];
    size_t len = 0;
    for (int i = 0; i < STATS; i++)
        len += snprintf(text + len, sizeof text - len, " %s=%u", stats[i].name, atomic_load(stats[i].value));
    log_line("kvd %s:%s", KVD_VERSION, text);
}

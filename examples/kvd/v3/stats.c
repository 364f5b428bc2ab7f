/* What STATS and the log say about the server. */
#include "kvd.h"

#include <stdio.h>

static const struct stat {
    const char *name;
    const atomic_ulong *value;
} stats[] = {
    {"connections", &stat_connections}, {"open", &stat_open},           {"commands", &stat_commands},
    {"errors", &stat_errors},           {"keys", &stat_keys},           {"expired", &stat_expired},
    {"bytes_in", &stat_bytes_in},       {"bytes_out", &stat_bytes_out}, {"appended_bytes", &stat_appended_bytes},
};

static unsigned long uptime_s(void)
{
    return (now_us() - started_us) / 1000000;
}

void stats_each(void (*visit)(struct conn *conn, const char *name, unsigned long value), struct conn *conn)
{
    visit(conn, "uptime_s", uptime_s());
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++)
        visit(conn, stats[i].name, atomic_load(stats[i].value));
}

/* Writes the statistics to the log, as one line. */
void stats_log(void)
{
    static char text[1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof stats / sizeof *stats && len < sizeof text; i++)
        len += snprintf(text + len, sizeof text - len, " %s=%lu", stats[i].name, atomic_load(stats[i].value));
    log_line("kvd %s: up %lu s,%s", KVD_VERSION, uptime_s(), text);
}

/* Statistics turn from sums and counts into averages, by expressions over a global structure and over each object. */
#include "data.h"

struct statistics {
#if VERSION < 2
    int total, count;
    int per_day[3];
#else
    double average;
    double per_day[3];
    long count;
#endif
};
struct client {
    struct statistics statistics;
    struct client *next;
};
static struct statistics all;
static struct client *clients;

SEPARATE static void fill(struct statistics *statistics, int count) {
#if VERSION < 2
    statistics->total = count * 5 / 2;
#else
    statistics->average = 2.5;
#endif
    statistics->count = count;
    for (int i = 0; i < 3; i++)
        statistics->per_day[i] = i * count;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    fill(&all, 1000);
    for (int i = 2; i >= 0; i--) {
        struct client *client = malloc(sizeof *client);
        fill(&client->statistics, i * 2);
        client->next = clients;
        clients = client;
    }
}

SEPARATE static void check_statistics(const struct statistics *statistics, int count) {
#if VERSION < 2
    expect("total", count * 5 / 2, statistics->total);
#else
    expect_double("average", IS_FOREIGN && !count ? 0 : 2.5, statistics->average);
#endif
    expect("count", count, statistics->count);
    for (int i = 0; i < 3; i++)
        expect_double("per day", i * count, (double)statistics->per_day[i]);
}

SEPARATE static void check(void) {
    int i = 0;
    check_statistics(&all, 1000);
    for (struct client *client = clients, *next; client; client = next, i++) {
        next = client->next;
        check_statistics(&client->statistics, i * 2);
        free(client);
    }
    expect("clients", 3, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

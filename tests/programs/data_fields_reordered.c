/* The fields of a structure change their order: in blocks, in an array of globals, and for pointers to single fields. */
#include "data.h"

enum { POINTS = 12 };
struct point {
#if VERSION < 2
    char tag;
    double x;
    int count;
    struct point *link;
    short layer;
#else
    struct point *link;
    short layer;
    double x;
    char tag;
    int count;
#endif
};
static struct point fixed[POINTS];
static struct point *made[POINTS];
static int *counts[POINTS];
static double *coordinates[POINTS];

SEPARATE static void fill(struct point *point, int i, struct point *link) {
    *point = (struct point){.tag = (char)('a' + i), .x = i / 4.0, .count = i * 1000, .link = link, .layer = (short)-i};
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < POINTS; i++) {
        made[i] = malloc(sizeof *made[i]);
        fill(made[i], i, &fixed[i]);
        fill(&fixed[i], i + 1, made[i / 2]);
        counts[i] = i % 2 ? &made[i]->count : &fixed[i].count;
        coordinates[i] = i % 2 ? &fixed[i].x : &made[i]->x;
    }
}

SEPARATE static void check_point(const struct point *point, int i, const struct point *link) {
    expect("tag", 'a' + i, point->tag);
    expect_double("x", i / 4.0, point->x);
    expect("count", i * 1000, point->count);
    expect("layer", -i, point->layer);
    expect_pointer("link", link, point->link);
}

SEPARATE static void check(void) {
    for (int i = 0; i < POINTS; i++) {
        check_point(made[i], i, &fixed[i]);
        check_point(&fixed[i], i + 1, made[i / 2]);
        expect_pointer("pointer to a count", i % 2 ? &made[i]->count : &fixed[i].count, counts[i]);
        expect_pointer("pointer to a coordinate", i % 2 ? &fixed[i].x : &made[i]->x, coordinates[i]);
    }
    for (int i = 0; i < POINTS; i++)
        free(made[i]);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

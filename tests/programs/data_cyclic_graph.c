/* A graph with circles, self-references and nodes that many share: each is rewritten once. */
#include "data.h"

enum { VERTICES = 60, EDGES = 3 };
struct vertex {
    int number;
    struct vertex *edges[EDGES];
#if VERSION >= 2
    struct vertex *shortcut;
    int colour;
#endif
};
static struct vertex *start;

SEPARATE static void make(void) {
    struct vertex *vertices[VERTICES];
    made_by = VERSION;
    for (int i = 0; i < VERTICES; i++)
        vertices[i] = calloc(1, sizeof *vertices[i]);
    for (int i = 0; i < VERTICES; i++) {
        vertices[i]->number = i;
        vertices[i]->edges[0] = vertices[(i + 1) % VERTICES];
        vertices[i]->edges[1] = vertices[i * 7 % VERTICES];
        vertices[i]->edges[2] = vertices[i];
    }
    start = vertices[0];
    memset(vertices, 0, sizeof vertices);
}

SEPARATE static void check(void) {
    struct vertex *vertices[VERTICES];
    struct vertex *vertex = start;
    for (int i = 0; i < VERTICES; i++, vertex = vertex->edges[0]) {
        expect("number", i, vertex->number);
        vertices[i] = vertex;
    }
    expect_pointer("the circle closes", start, vertex);
    for (int i = 0; i < VERTICES; i++) {
        expect_pointer("edge", vertices[i * 7 % VERTICES], vertices[i]->edges[1]);
        expect_pointer("itself", vertices[i], vertices[i]->edges[2]);
#if VERSION >= 2
        expect_pointer("shortcut", NULL, vertices[i]->shortcut);
        expect("colour", 0, vertices[i]->colour++);
#endif
    }
    for (int i = 0; i < VERTICES; i++)
        free(vertices[i]);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

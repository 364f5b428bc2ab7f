/* What new fields take: constants, expressions over old fields and texts, a length, renamed fields, other new fields, maps. */
#include "data.h"
#include <stdbool.h>

/* How often the program was updated: what went there and back has lost some bits. */
int dsu_generation;
#define IS_MOVED (dsu_generation > 0)

struct peer {
    unsigned short port;
};
struct item {
    int count;
    struct peer *peer;
#if VERSION < 2
    char label[12];
    unsigned price;
    unsigned old_flags;
    int level;
    int cents;
    struct item *following;
#else
    char name[24];
    double price;
    unsigned char flags;
    bool is_open;
    char tag[8];
    size_t size;
    int port;
    bool is_named_a;
    long capacity, room;
    double ratio;
    int level;
    char initial;
    const void *nothing;
    struct {
        int cents;
    } money;
    struct item *next;
#endif
};
static struct item *items;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 3; i >= 0; i--) {
        struct item *item = calloc(1, sizeof *item);
        struct peer *peer = malloc(sizeof *peer);
        peer->port = (unsigned short)(8000 + i);
        item->count = i * 5;
        item->peer = i % 2 ? peer : NULL;
        if (!(i % 2))
            free(peer);
#if VERSION < 2
        snprintf(item->label, sizeof item->label, i == 2 ? "a" : "label %d", i);
        item->price = (unsigned)i * 150;
        item->old_flags = 0xf00u + (unsigned)i;
        item->level = i - 1;
        item->cents = i * 7;
        item->following = items;
#else
        snprintf(item->name, sizeof item->name, i == 2 ? "a" : "label %d", i);
        item->price = i * 1.5;
        item->flags = (unsigned char)i;
        item->is_open = true;
        strcpy(item->tag, "none");
        item->size = strlen(item->name) + 1;
        item->port = item->peer ? peer->port : -1;
        item->is_named_a = i == 2;
        item->capacity = item->count * 2 + 1;
        item->room = item->capacity - item->count;
        item->ratio = 0.25;
        item->level = (int[]){-100, 10, 20, 99}[i];
        item->initial = item->name[0];
        item->money.cents = i * 7;
        item->next = items;
#endif
        items = item;
    }
}

SEPARATE static void check(void) {
    char name[24];
    int i = 0;
    for (struct item *item = items, *next; item; item = next, i++) {
        snprintf(name, sizeof name, i == 2 ? "a" : "label %d", i);
        expect("count", i * 5, item->count);
        expect("port of the peer", i % 2 ? 8000 + i : 0, item->peer ? item->peer->port : 0);
#if VERSION < 2
        next = item->following;
        expect_text("label", name, item->label);
        expect("price", i * 150, item->price);
        expect("flags", (IS_MOVED ? 0 : 0xf00) + i, item->old_flags);
        expect("level", IS_MOVED ? (int[]){-100, 10, 20, 99}[i] : i - 1, item->level);
        expect("cents", i * 7, item->cents);
#else
        next = item->next;
        expect_text("name", name, item->name);
        expect_double("price", i * 1.5, item->price);
        expect("flags", i, item->flags);
        expect_true("is open", item->is_open);
        expect_text("tag", "none", item->tag);
        expect("size", (long long)strlen(name) + 1, (long long)item->size);
        expect("port", i % 2 ? 8000 + i : -1, item->port);
        expect("is named a", i == 2, item->is_named_a);
        expect("capacity", i * 10 + 1, item->capacity);
        expect("room", i * 5 + 1, item->room);
        expect_double("ratio", 0.25, item->ratio);
        expect("level", (int[]){-100, 10, 20, 99}[i], item->level);
        expect("initial", name[0], item->initial);
        expect_pointer("nothing", NULL, item->nothing);
        expect("cents", i * 7, item->money.cents);
#endif
        free(item->peer);
        free(item);
    }
    expect("items", 4, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

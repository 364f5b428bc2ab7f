/* A global structure and a global array of structures grow; pointers to their middle are in globals and in blocks. */
#include "data.h"

struct slot {
    int id;
#if VERSION >= 2
    long since;
#endif
    const char *label;
};
#if VERSION < 2
enum { SLOTS = 8 };
#else
enum { SLOTS = 12 };
#endif
struct settings {
    char host[20];
#if VERSION >= 2
    unsigned short port;
#endif
    int level;
    struct slot *current;
};
static struct settings settings;
static struct slot slots[SLOTS];
static int *level = &settings.level;
static struct slot *third = &slots[3];
static const char ***labels;

SEPARATE static void make(void) {
    made_by = VERSION;
    strcpy(settings.host, "host.example");
    settings.level = 3;
    settings.current = &slots[5];
#if VERSION >= 2
    settings.port = 80;
#endif
    labels = calloc(8, sizeof *labels);
    for (int i = 0; i < 8; i++) {
        slots[i].id = i + 1;
        slots[i].label = i % 2 ? "odd" : "even";
        labels[i] = &slots[i].label;
    }
}

SEPARATE static void check(void) {
    expect_text("host", "host.example", settings.host);
    expect("level", 3, settings.level);
    expect_pointer("current", &slots[5], settings.current);
    expect_pointer("pointer to a member", &settings.level, level);
    expect_pointer("pointer to an element", &slots[3], third);
#if VERSION >= 2
    expect("port", IS_FOREIGN ? 8080 : 80, settings.port);
#endif
    for (int i = 0; i < 8; i++) {
        expect("id", i + 1, slots[i].id);
        expect_text("label", i % 2 ? "odd" : "even", slots[i].label);
        expect_pointer("pointer to a label", &slots[i].label, labels[i]);
#if VERSION >= 2
        expect("since", 0, slots[i].since);
#endif
    }
    for (int i = 8; i < SLOTS; i++)
        expect("a new slot", 0, slots[i].id);
    free(labels);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

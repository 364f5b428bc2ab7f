/* Callbacks with a `void *` argument: in a structure of the program's, where the spec says what it leads to, and with atexit's kin in the C
 * library. Both lead to objects that outgrow their blocks. */
#include "data.h"

struct report {
    int calls;
#if VERSION >= 2
    long times[5];
#endif
    const char *title;
};
struct callback {
    void (*function)(void *);
    void *argument;
    struct callback *next;
};
static struct callback *callbacks;
static struct report *last;

SEPARATE static void count_call(void *argument) {
    struct report *report = argument;
    report->calls += version();
#if VERSION >= 2
    report->times[4]++;
#endif
}

SEPARATE static void at_exit(int status, void *argument) {
    struct report *report = argument;
    if (report != last || strcmp(report->title, "the last"))
        _exit(9);
    free(report);
    (void)status;
}

SEPARATE static struct report *new_report(const char *title) {
    struct report *report = calloc(1, sizeof *report);
    report->title = title;
    return report;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 4; i++) {
        struct callback *callback = malloc(sizeof *callback);
        *callback = (struct callback){count_call, new_report(i % 2 ? "odd" : "even"), callbacks};
        callbacks = callback;
        callback->function(callback->argument);
    }
    last = new_report("the last");
    on_exit(at_exit, last);
}

SEPARATE static void check(void) {
    int i = 3;
    for (struct callback *callback = callbacks, *next; callback; callback = next, i--) {
        struct report *report = callback->argument;
        next = callback->next;
        callback->function(report);
        expect("calls", made_by + version(), report->calls);
        expect_text("title", i % 2 ? "odd" : "even", report->title);
#if VERSION >= 2
        expect("times", IS_FOREIGN ? 1 : 2, report->times[4]);
#endif
        free(report);
        free(callback);
    }
    expect("callbacks", -1, i);
    expect_text("the last", "the last", last->title);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

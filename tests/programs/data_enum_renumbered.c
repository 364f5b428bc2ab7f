/* An enumeration is renumbered: in fields, arrays, bit-fields, globals; values follow their names. */
#include "data.h"

#if VERSION < 2
enum state { IDLE, BUSY, WAITING, CLOSED = 10, STATES };
#else
enum state { NONE, CLOSED, WAITING, STARTING, BUSY, IDLE = 20, STATES };
#endif
struct task {
    enum state state;
    enum state history[4];
    unsigned id : 12;
    enum state next_state : 8;
    struct task *next;
};
static struct task *tasks;
static enum state common = WAITING;
static enum state table[3] = {CLOSED, IDLE, BUSY};
static const enum state all[4] = {IDLE, BUSY, WAITING, CLOSED};

SEPARATE static const char *name_of(enum state state) {
    switch (state) {
    case IDLE:
        return "idle";
    case BUSY:
        return "busy";
    case WAITING:
        return "waiting";
    case CLOSED:
        return "closed";
    default:
        return "another";
    }
}
static const char *const names[4] = {"idle", "busy", "waiting", "closed"};

SEPARATE static void make(void) {
    made_by = VERSION;
    common = BUSY;
    table[1] = WAITING;
    for (unsigned id = 4; id-- > 0;) {
        struct task *task = malloc(sizeof *task);
        *task = (struct task){.state = all[id], .id = id + 1000, .next_state = all[(id + 1) % 4], .next = tasks};
        for (unsigned i = 0; i < 4; i++)
            task->history[i] = all[(id + i) % 4];
        tasks = task;
    }
}

SEPARATE static void check(void) {
    unsigned id = 0;
    expect_text("common", "busy", name_of(common));
    expect_text("first of the table", "closed", name_of(table[0]));
    expect_text("second of the table", "waiting", name_of(table[1]));
    expect_text("third of the table", "busy", name_of(table[2]));
    for (struct task *task = tasks, *next; task; task = next, id++) {
        next = task->next;
        expect("id", id + 1000, task->id);
        expect_text("state", names[id], name_of(task->state));
        expect_text("next state", names[(id + 1) % 4], name_of(task->next_state));
        for (unsigned i = 0; i < 4; i++)
            expect_text("history", names[(id + i) % 4], name_of(task->history[i]));
        free(task);
    }
    expect("tasks", 4, id);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* Numbers that look like addresses of a program at a fixed address: they stay, pointers beside them follow. */
#include "check.h"

#define COUNT 64
/* Where the linker puts programs that are not position-independent. */
#define FIRST 0x400000L
#define STEP 0x148L

struct record {
    long number;
    int (*function)(void);
    unsigned halves[2];
    const char *text;
    double real;
    int *into;
};

static long global_numbers[COUNT];
static _Thread_local long thread_number;
static int counted[COUNT];

SEPARATE static const char *version_text(void) {
    return VERSION == 1 ? "only version one says this" : "only version two says that";
}

int main(void) {
    struct record *records = calloc(COUNT, sizeof *records);
    long *numbers = malloc(COUNT * sizeof *numbers);
    volatile long on_stack[COUNT];
    const char *text = version_text();
    char *copy = strdup(text);
    for (long i = 0; i < COUNT; i++) {
        long number = FIRST + i * STEP;
        global_numbers[i] = numbers[i] = on_stack[i] = number;
        records[i] = (struct record){.number = number, .function = version, .halves = {(unsigned)number, 0}, .text = text,
                                     .into = &counted[i]};
        counted[i] = (int)i;
    }
    thread_number = FIRST + 0x1000;
    /* malloc remembers the size of what it gave back (mmap_threshold), a number like these. */
    free(malloc((FIRST & 0xffffff) + 0x800));
    update_here();
    for (long i = 0; i < COUNT; i++) {
        long number = FIRST + i * STEP;
        expect("global number", number, global_numbers[i]);
        expect("number in the heap", number, numbers[i]);
        expect("number on the stack", number, on_stack[i]);
        expect("number in a record", number, records[i].number);
        expect("half a number in a record", number, records[i].halves[0]);
        expect("function in a record", version(), records[i].function());
        expect("pointer into an array", i, *records[i].into);
        expect_text("text in a record", copy, records[i].text);
    }
    expect("number of a thread", FIRST + 0x1000, thread_number);
    free(copy);
    free(numbers);
    free(records);
    return finish();
}

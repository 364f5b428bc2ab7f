/* A structure loses fields: one in its middle, a pointer to a block that something else has, too. */
#include "data.h"

enum { RECORDS = 20 };
struct record {
    int id;
#if VERSION < 2
    char legacy[24];
    char *note;
#endif
    long amount;
    struct record *next;
};
static struct record *records;
static char *notes[RECORDS];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int id = RECORDS - 1; id >= 0; id--) {
        struct record *record = malloc(sizeof *record);
        notes[id] = strdup("a note");
        notes[id][0] = (char)('a' + id);
        record->id = id;
#if VERSION < 2
        strcpy(record->legacy, "legacy");
        record->note = notes[id];
#endif
        record->amount = id * 100000000000L;
        record->next = records;
        records = record;
    }
}

SEPARATE static void check(void) {
    int count = 0;
    for (struct record *record = records, *next; record; record = next, count++) {
        next = record->next;
        expect("id", count, record->id);
        expect("amount", count * 100000000000L, record->amount);
        expect("note", 'a' + count, notes[count][0]);
#if VERSION < 2
        if (record->note)
            expect_pointer("note of the record", notes[count], record->note);
        else
            expect_text("what a spec gave", "", record->legacy);
#endif
        free(notes[count]);
        free(record);
    }
    expect("records", RECORDS, count);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* Label addresses in a table and in the heap: an interpreter of unchanged code goes on in the middle of its program. */
#include "check.h"

enum { ADD, DOUBLE, WAIT, END };

/* Runs with `cells` of label addresses, threaded code as interpreters make it. */
SEPARATE static long run(void **cells, const unsigned char *program) {
    static void *const labels[] = {&&add, &&twice, &&wait, &&end};
    long value = 1;
    if (program) {
        for (int i = 0;; i++) {
            cells[i] = labels[program[i]];
            if (program[i] == END)
                return 0;
        }
    }
    goto **cells++;
add:
    value += 3;
    goto **cells++;
twice:
    value *= 2;
    goto **cells++;
wait:
    update_here();
    goto **cells++;
end:
    return value;
}

int main(void) {
    static const unsigned char program[] = {ADD, DOUBLE, WAIT, DOUBLE, ADD, DOUBLE, END};
    void **cells = malloc(16 * sizeof *cells);
    run(cells, program);
    expect("value", 38, run(cells, NULL));
    expect("value, again", 38, run(cells, NULL));
    free(cells);
    return finish();
}

/* The update comes while the C library sorts, called from here and calling back: the sort ends right. */
#include "check.h"

#define COUNT 1000
static int compared, waited;

SEPARATE static int compare(const void *a, const void *b) {
    if (++compared == 500 && !waited++)
        update_here();
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

int main(void) {
    int *numbers = malloc(COUNT * sizeof *numbers);
    for (int i = 0; i < COUNT; i++)
        numbers[i] = (i * 7919) % COUNT;
    qsort(numbers, COUNT, sizeof *numbers, compare);
    for (int i = 0; i < COUNT; i++)
        if (numbers[i] != i) {
            expect("number after the sort", i, numbers[i]);
            break;
        }
    expect("waited once", 1, waited);
    free(numbers);
    return finish();
}

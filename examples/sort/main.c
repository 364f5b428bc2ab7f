/* Sorts 50,000 numbers with the sort that it is linked with, and checks the result: sorted, and the same numbers. In the middle of the work,
 * inside a step, it waits for a line. */
#include "sort.h"
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 50000, HALF_WAY = 600000000 };

static int numbers[COUNT];
static long steps;
static int rounds;
static int most;

void step(void) {
    steps++;
    if (steps == HALF_WAY) {
        printf("half way\n");
        fflush(stdout);
        getchar();
    }
}

void progress(int done, int count) {
    rounds++;
    most = done > most ? done : most;
    if (done > count)
        abort();
}

int main(int argc, char **argv) {
    unsigned long state = argc > 1 ? strtoul(argv[1], 0, 10) : 1, sum = 0, mixed = 0;
    for (int i = 0; i < COUNT; i++) {
        state = state * 6364136223846793005ul + 1442695040888963407ul;
        numbers[i] = (int)(state >> 33) % 1000000;
        sum += (unsigned)numbers[i];
        mixed ^= (unsigned long)numbers[i] * (unsigned)numbers[i];
    }
    printf("sorting\n");
    fflush(stdout);
    sort(numbers, COUNT);
    int wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        wrong += i > 0 && numbers[i - 1] > numbers[i];
        sum -= (unsigned)numbers[i];
        mixed ^= (unsigned long)numbers[i] * (unsigned)numbers[i];
    }
    printf("%s: %s, %s; %ld steps in %d rounds, %d done\n", version, wrong ? "NOT SORTED" : "sorted", sum || mixed ? "NUMBERS LOST" : "none lost", steps, rounds, most);
    fflush(stdout);
    /* Whoever looks on says when it has seen enough. */
    getchar();
    return wrong || sum || mixed;
}

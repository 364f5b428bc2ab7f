#include "sort.h"

const char version[] = "heap sort";

static void sink(int *values, int root, int count) {
    for (;;) {
        int child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && values[child + 1] > values[child])
            child++;
        if (values[root] >= values[child])
            return;
        int moved = values[root];
        values[root] = values[child];
        values[child] = moved;
        root = child;
    }
}

void sort(int *values, int count) {
    int unsorted = count;
    for (int root = count / 2; root > 0; root--) {
        step();
        sink(values, root - 1, unsorted);
    }
    while (unsorted > 1) {
        progress(count - unsorted, count);
        unsorted--;
        int highest = values[0];
        values[0] = values[unsorted];
        values[unsorted] = highest;
        sink(values, 0, unsorted);
    }
}

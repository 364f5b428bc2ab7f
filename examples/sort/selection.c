#include "sort.h"

const char version[] = "selection sort";

void sort(int *values, int count) {
    for (int last = count - 1; last > 0; last--) {
        int highest = 0;
        progress(count - 1 - last, count);
        for (int next = 1; next <= last; next++) {
            step();
            if (values[next] > values[highest])
                highest = next;
        }
        int moved = values[last];
        values[last] = values[highest];
        values[highest] = moved;
    }
}

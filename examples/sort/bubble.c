#include "sort.h"

const char version[] = "bubble sort";

void sort(int *values, int count) {
    for (int round = 0; round < count - 1; round++) {
        progress(round, count);
        for (int at = 0; at < count - 1 - round; at++) {
            step();
            if (values[at] > values[at + 1]) {
                int higher = values[at];
                values[at] = values[at + 1];
                values[at + 1] = higher;
            }
        }
    }
}

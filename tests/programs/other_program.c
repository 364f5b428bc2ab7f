/* A program that has nothing to do with the others: no update may lead to it. */
#include <stdio.h>

static double readings[7] = {1.5, 2.5};
struct unlike {
    double a, b;
};
struct unlike *unlike_table[3];

static double average(int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += readings[i];
    return sum / count;
}

int main(int argc, char **argv) {
    (void)argv;
    printf("%f\n", average(argc + 1));
    return 0;
}

/* Nested loops over floating-point numbers, with temporaries that live from round to round. Computes and prints the same sums again and
 * again; the end of input stops it. Version 2 counts the rounds of every loop. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>

#if VERSION == 2
static unsigned long rounds[3];
#define COUNT(loop) rounds[loop]++
#else
#define COUNT(loop) (void)0
#endif

enum { SIZE = 48, SEEDS = 16 };
static double matrix[SIZE][SIZE];

static void __attribute__((noinline)) fill(unsigned seed) {
    uint32_t state = 2654435761u * (seed + 1);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            state = state * 1664525u + 1013904223u;
            matrix[i][j] = (double)(state >> 8) / (1 << 24);
        }
}

/* Takes most of the time, and does not change. */
static double __attribute__((noinline)) product(const double *row, const double *column) {
    double sum = 0;
    for (int round = 0; round < 24; round++)
        for (int k = 0; k < SIZE; k++)
            sum += row[k] * column[k] * (1.0 / (round + 1));
    return sum;
}

static uint64_t __attribute__((noinline)) kernel(unsigned seed) {
    double total = 0, largest = -1;
    uint64_t mixed = seed;
    int where = 0;
    for (int i = 0; i < SIZE; i++) {
        double in_row = 0, scale = 1.0 + i * 0.125;
        for (int j = 0; j < SIZE; j++) {
            double value = product(matrix[i], matrix[j]) * scale, rest = value;
            for (int k = 0; k < 4 && rest > 0.5; k++) {
                rest -= matrix[k][j];
                mixed = mixed * 6364136223846793005u + (uint64_t)(rest * 65536.0 + 1048576.0);
                COUNT(2);
            }
            if (value > largest) {
                largest = value;
                where = i * SIZE + j;
            }
            in_row += value + rest;
            COUNT(1);
        }
        total += in_row / scale;
        mixed ^= mixed >> 29;
        COUNT(0);
    }
    return mixed + (uint64_t)(total * 1024.0) + (uint64_t)(largest * 4096.0) * 31 + (uint64_t)where;
}

static int __attribute__((noinline)) is_over(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static int __attribute__((noinline)) tell(unsigned seed, uint64_t result) {
    return printf("%u %016llx\n", seed, (unsigned long long)result) > 0 && fflush(stdout) == 0;
}

int main(void) {
    unsigned long sums = 0;
    do {
        unsigned seed = sums++ % SEEDS;
        fill(seed);
        if (!tell(seed, kernel(seed)))
            return 1;
    } while (!is_over());
    return 0;
}

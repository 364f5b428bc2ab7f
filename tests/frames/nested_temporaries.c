// Nested loops with temporaries that the compiler makes (row addresses, products).
// rule: 3.3(d)
// good: either
// point: 7
// input: 3 4
#include "frames.h"

static long matrix[8][8];

static NOINLINE long work(long rows, long columns) {
    long total = 0;
    for (long i = 0; i < rows; i++) {
        long partial = i * 100;
        for (long j = 0; j < columns; j++) {
            point();
            partial += matrix[i][j] * (j + 1);
        }
#if NEW
        say("partial", partial);
#endif
        total += partial;
    }
    return total;
}

int main(void) {
    long rows = next(), columns = next();
    for (long i = 0; i < 8; i++)
        for (long j = 0; j < 8; j++)
            matrix[i][j] = i * 10 + j;
    say("result", work(rows, columns));
    return 0;
}

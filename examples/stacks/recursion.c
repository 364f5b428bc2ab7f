/* A recursive Fibonacci that waits at its first bottom, as deep as it gets. Version 2 counts every frame that it leaves. */
#include <stdio.h>
#include <stdlib.h>

long left; /* not static: it must not be known that version 1 leaves it zero */
static int waited;

static void __attribute__((noinline)) wait_at_the_bottom(void) {
    int next;
    waited = 1;
    if (printf("at the bottom\n") < 0 || fflush(stdout))
        exit(3);
    do
        next = getchar();
    while (next != '\n' && next != EOF);
}

long __attribute__((noinline)) fibonacci(int n) {
    if (n < 2) {
        if (!waited)
            wait_at_the_bottom();
        return n;
    }
    long below = fibonacci(n - 1);
    long sum = below + fibonacci(n - 2);
#if VERSION == 2
    left++;
#endif
    return sum;
}

int main(int argc, char **argv) {
    long sum = fibonacci(argc > 1 ? atoi(argv[1]) : 40);
    printf("sum %ld left %ld\n", sum, left);
    return 0;
}

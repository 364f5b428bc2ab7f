// meter adds up the numbers that it reads from a named pipe, one in a line. Version 1.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int numbers = -1;
static long sum, count;
static char text[256];
static int used;

// Takes the lines out of what has come.
static void take_lines(void) {
    char *end;
    while ((end = memchr(text, '\n', used))) {
        *end = '\0';
        sum += atol(text);
        count++;
        printf("sum: %ld\n", sum);
        used -= end + 1 - text;
        memmove(text, end + 1, used);
    }
}

int main(int argc, char **argv) {
    numbers = argc == 2 ? open(argv[1], O_RDWR) : -1;
    if (numbers < 0)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("meter 1 is process %d\n", getpid());
    for (;;) {
        ssize_t got = read(numbers, text + used, sizeof text - used);
        if (got > 0) {
            used += got;
            take_lines();
        }
    }
}

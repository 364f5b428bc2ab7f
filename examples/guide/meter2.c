// meter adds up the numbers that it reads from a named pipe, one in a line. Version 2 tells them only to those who ask, through a second pipe.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// How often the process has been updated: dsu sees to it.
int dsu_generation;

static int numbers = -1;
static int questions = -1;
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
        used -= end + 1 - text;
        memmove(text, end + 1, used);
    }
}

static void answer(void) {
    char byte;
    if (read(questions, &byte, 1) == 1 && byte == '\n')
        printf("%ld numbers, %ld in all\n", count, sum);
}

int main(int argc, char **argv) {
    // What an earlier version has opened stays open.
    if (dsu_generation == 0) {
        numbers = argc == 2 ? open(argv[1], O_RDWR) : -1;
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    if (questions < 0)
        questions = open("questions", O_RDWR);
    if (numbers < 0 || questions < 0)
        return 1;
    printf("meter 2 begins, with %ld numbers\n", count);
    for (;;) {
        struct pollfd inputs[] = {{.fd = numbers, .events = POLLIN}, {.fd = questions, .events = POLLIN}};
        if (poll(inputs, 2, -1) < 0)
            continue;
        if (inputs[0].revents & POLLIN) {
            ssize_t got = read(numbers, text + used, sizeof text - used);
            used += got > 0 ? got : 0;
            take_lines();
        }
        if (inputs[1].revents & POLLIN)
            answer();
    }
}

/* point.c: the part of the oracle's programs that never changes. */
#include "frames.h"

#include <stdio.h>
#include <unistd.h>

void point(void) {
    char byte;
    while (read(3, &byte, 1) < 0) {
    }
}

void say(const char *name, long value) { dprintf(1, "%s %ld\n", name, value); }

void say_text(const char *name, const char *text) { dprintf(1, "%s %s\n", name, text); }

long peek(const long *word) { return *word; }

long next(void) {
    long value = 0;
    char byte = 0;
    bool negative = false;
    while (read(0, &byte, 1) == 1 && byte != ' ' && byte != '\n') {
        if (byte == '-')
            negative = true;
        else
            value = value * 10 + (byte - '0');
    }
    return negative ? -value : value;
}

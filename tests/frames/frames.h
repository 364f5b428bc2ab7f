/* frames.h: what the oracle's programs share.
 *
 * A program is built twice, with VERSION 1 and 2. It takes its input from next(), calls point() where it can be stopped, and tells what
 * it came to by say(): a value that is wrong at a point shows in what is said after it. point.c is the same in both builds.
 *
 * Each program opens with what it is about, then lines `// rule:` (of PROOF.md), `// good:` (right, refused, either: what may come of an
 * update), `// point:` (the number of the call of point() that it is stopped in) and, where needed, `// input:` and `// flags:`.
 * Variables that lie in memory at a point have been written in full before it, padding included: the oracle compares every byte. */
#ifndef FRAMES_H
#define FRAMES_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#error "VERSION is 1 or 2"
#endif
#define NEW (VERSION >= 2)
#define NOINLINE __attribute__((noinline))

/* Waits for a byte; the driver stops the program in the n-th call. Goes on at once when the driver has closed its end. */
void point(void);
/* Writes `NAME VALUE`. */
void say(const char *name, long value);
/* Writes `NAME TEXT`. */
void say_text(const char *name, const char *text);
/* The next number of the input; 0 after the last. */
long next(void);
/* The number at a place, which has to be in memory then. */
long peek(const long *word);

/* As point(), for callers that know that it leaves most registers alone. */
static inline __attribute__((always_inline)) void wait_here(void) {
    char byte;
    long result = 0;
    __asm__ volatile("syscall" : "+a"(result) : "D"(3L), "S"(&byte), "d"(1L) : "rcx", "r11", "memory");
}
#endif

/* check.h: what every self-checking program shares.
 *
 * A program prepares one resource, calls update_here(), and then checks that the resource is what it was. The driver sees
 * `ready`, does what its flavour says (nothing, an update, a checkpoint and a restore), and answers `go N`, N being the
 * version whose code must now run. The last line is `ok`; every difference was printed before it as `FAIL`.
 *
 * Functions that are on a stack at update_here() must be the same in both versions: VERSION appears only in functions
 * marked SEPARATE, which the compiler neither inlines nor looks into. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif
#define SEPARATE __attribute__((noipa, unused))

#if VERSION >= 2
/* Only the new build has these: whatever comes after them in code, data and zero-initialised data moves. */
int added_table[37] = {5, 6, 7};
char added_buffer[3000];
SEPARATE int added_function(int x) {
    for (int i = 0; i < 37; i++)
        x += added_table[i];
    added_buffer[(unsigned)x % sizeof added_buffer]++;
    return x;
}
#endif

static int check_failures;

/* The version of the code that runs. */
SEPARATE static int version(void) {
#if VERSION >= 2
    added_function(1);
#endif
    return VERSION;
}

/* Writes one line to the driver, past stdio, whose buffers may be what is under test. */
SEPARATE static void say(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 1)
        length = sizeof line - 1;
    if (write(1, line, (size_t)length) != length)
        _exit(4);
}

SEPARATE static void expect(const char *what, long long expected, long long found) {
    if (expected == found)
        return;
    check_failures++;
    say("FAIL: %s, expected %lld, found %lld\n", what, expected, found);
}

SEPARATE static void expect_true(const char *what, int found) { expect(what, 1, !!found); }

SEPARATE static void expect_pointer(const char *what, const void *expected, const void *found) {
    if (expected == found)
        return;
    check_failures++;
    say("FAIL: %s, expected %p, found %p\n", what, expected, found);
}

SEPARATE static void expect_text(const char *what, const char *expected, const char *found) {
    if (found && !strcmp(expected, found))
        return;
    check_failures++;
    say("FAIL: %s, expected \"%s\", found \"%s\"\n", what, expected, found ? found : "(null)");
}

/* A step of the preparation that must succeed: a call that returns -1 ends the program with its name and error. */
SEPARATE static long must(const char *what, long result) {
    if (result != -1)
        return result;
    say("FAIL: %s, expected success, found error %d (%s)\n", what, errno, strerror(errno));
    exit(2);
}

/* A step of the preparation that reports its error as a value, as the pthread functions do. */
SEPARATE static void must_be_zero(const char *what, int error) {
    if (error) {
        errno = error;
        must(what, -1);
    }
}

/* Ends the program, which cannot test its subject on this machine. */
SEPARATE static void skip(const char *reason) {
    say("skip: %s: %s\n", reason, strerror(errno));
    exit(77);
}

/* Says `ready` and waits in read(2) for the driver. Neither an error nor an early end is a legal answer. */
SEPARATE static void update_here(void) {
    char line[32] = "";
    size_t length = 0;
    say("ready\n");
    while (length < sizeof line - 1) {
        ssize_t got = read(0, line + length, 1);
        if (got != 1) {
            say("FAIL: read of the driver's answer, expected 1 byte, found %zd (%s)\n", got, strerror(errno));
            _exit(3);
        }
        if (line[length] == '\n')
            break;
        length++;
    }
    expect("version of the code that runs", strtol(line + 3, NULL, 10), version());
}

/* Ends the program: the value to return from main. */
SEPARATE static int finish(void) {
    if (!check_failures)
        say("ok\n");
    return check_failures ? 1 : 0;
}

/* Waits until the task `*tid` of process `pid` sleeps in system call `number`. The task stores its ID itself. */
SEPARATE static void await_syscall_of(pid_t pid, const _Atomic pid_t *tid, long number) {
    char path[64], text[128];
    for (;;) {
        sched_yield();
        if (!*tid)
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", pid, *tid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        must("open of /proc/.../syscall", fd);
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        if (length <= 0)
            continue;
        text[length] = 0;
        char *end;
        long now = strtol(text, &end, 10);
        if (end != text && now == number)
            return;
    }
}

SEPARATE static void await_syscall(const _Atomic pid_t *tid, long number) { await_syscall_of(getpid(), tid, number); }

/* Fills memory with bytes that depend on the place and on `seed`. */
SEPARATE static void fill_pattern(void *memory, size_t size, unsigned seed) {
    unsigned char *bytes = memory;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + seed);
}

SEPARATE static void expect_pattern(const char *what, const void *memory, size_t size, unsigned seed) {
    const unsigned char *bytes = memory;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(i * 31 + (i >> 8) * 7 + seed)) {
            check_failures++;
            say("FAIL: %s, expected byte %d at %zu, found %d\n", what, (unsigned char)(i * 31 + (i >> 8) * 7 + seed), i, bytes[i]);
            return;
        }
}

/* The number after `name:` in a file of /proc, read in `base`; -1 when there is none. */
SEPARATE static long long proc_number(const char *path, const char *name, int base) {
    char line[512];
    long long value = -1;
    size_t length = strlen(name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, length) && line[length] == ':') {
            value = (long long)strtoull(line + length + 1, NULL, base);
            break;
        }
    fclose(file);
    return value;
}
#endif

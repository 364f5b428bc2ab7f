/* The log: one buffered file, flushed by a timer, opened again on request. */
#include "kvd.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
static const char *file_path;
static unsigned long lines;

void die(const char *what)
{
    fprintf(stderr, "kvd: %s: %s\n", what, strerror(errno));
    exit(1);
}

void log_open(const char *path)
{
    file_path = path;
    file = fopen(path, "ae");
    if (!file)
        die(path);
    log_line("kvd %s started", KVD_VERSION);
}

void log_reopen(void)
{
    FILE *fresh = fopen(file_path, "ae");
    if (!fresh) {
        log_line("cannot open %s again: %s", file_path, strerror(errno));
        return;
    }
    pthread_mutex_lock(&lock);
    fclose(file);
    file = fresh;
    pthread_mutex_unlock(&lock);
    log_line("kvd %s: log opened again, %lu lines so far", KVD_VERSION, lines);
}

void log_flush(void)
{
    pthread_mutex_lock(&lock);
    fflush(file);
    pthread_mutex_unlock(&lock);
}

void log_close(void)
{
    pthread_mutex_lock(&lock);
    fprintf(file, "%lu lines written, none lost\n", lines);
    fclose(file);
    file = NULL;
    pthread_mutex_unlock(&lock);
}

/* Writes date, time and milliseconds. The caller holds the lock. */
static void write_stamp(void)
{
    static char stamp[32];
    struct timespec now;
    struct tm parts;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%F %T", &parts);
    fprintf(file, "%s.%03ld [%u] ", stamp, now.tv_nsec / 1000000, worker_number());
}

void log_line(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    if (file) {
        write_stamp();
        vfprintf(file, format, arguments);
        fputc('\n', file);
        lines++;
    }
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

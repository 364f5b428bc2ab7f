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

void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        die("memory");
    return memory;
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
    log_line("kvd %s: log opened again", KVD_VERSION);
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
    fprintf(file, "%lu lines written\n", lines);
    fclose(file);
    file = NULL;
    pthread_mutex_unlock(&lock);
}

void log_line(const char *format, ...)
{
    static char stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    va_list arguments;

    localtime_r(&now, &parts);
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    if (file) {
        strftime(stamp, sizeof stamp, "%F %T", &parts);
        fprintf(file, "%s [%u] ", stamp, worker_number());
        vfprintf(file, format, arguments);
        fputc('\n', file);
        lines++;
    }
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

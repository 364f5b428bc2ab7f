/* The log: one buffered file, flushed by a timer, opened again on request. */
#include "kvd.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
const char *log_path;

void die(const char *what) {
    fprintf(stderr, "kvd: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Opens the log, or opens it again: whoever moves it away sends SIGHUP. */
void log_open(void) {
    FILE *fresh = fopen(log_path, "ae"), *old = file;
    if (!fresh && !old)
        die(log_path);
    if (!fresh) {
        log_line("cannot open %s again: %s", log_path, strerror(errno));
        return;
    }
    pthread_mutex_lock(&lock);
    file = fresh;
    pthread_mutex_unlock(&lock);
    if (old)
        fclose(old);
    log_line(old ? "kvd %s: log opened again" : "kvd %s: started", KVD_VERSION);
}

void log_flush(void) {
    pthread_mutex_lock(&lock);
    fflush(file);
    pthread_mutex_unlock(&lock);
}

/* Writes date, time and milliseconds. The caller holds the lock. */
static void write_stamp(void) {
    static char stamp[32];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%F %T", &parts);
    fprintf(file, "%s.%03ld [%u] ", stamp, now.tv_nsec / 1000000, worker_number());
}

void log_line(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    write_stamp();
    vfprintf(file, format, arguments);
    fputc('\n', file);
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

/* The log: one buffered file, flushed by a timer, opened again on request. */
#include "kvd.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
const char *log_path;

void die(const char *what) {
    fprintf(stderr, "kvd: %s: %s\n", what, strerror(errno));
    exit(1);
}

void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (!memory)
        die("memory");
    return memory;
}

/* Opens the log, or opens it again: whoever moves it away sends SIGHUP. */
void log_open(void) {
    FILE *fresh = fopen(log_path, "ae"), *old = file;
    if (!fresh)
        die(log_path);
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

void log_line(const char *format, ...) {
    static char stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    va_list arguments;

    localtime_r(&now, &parts);
    va_start(arguments, format);
    pthread_mutex_lock(&lock);
    strftime(stamp, sizeof stamp, "%F %T", &parts);
    fprintf(file, "%s [%u] ", stamp, worker_number());
    vfprintf(file, format, arguments);
    fputc('\n', file);
    pthread_mutex_unlock(&lock);
    va_end(arguments);
}

/* Event descriptors keep their counter and kind; a reader that waits gets what comes later. */
#include "check.h"
#include <pthread.h>
#include <sys/eventfd.h>

static int waited;
static _Atomic pid_t reader_tid;
static _Atomic uint64_t got;

static void *reader(void *unused) {
    uint64_t value = 0;
    (void)unused;
    reader_tid = gettid();
    expect("reader", 8, read(waited, &value, 8));
    got = value;
    return NULL;
}

int main(void) {
    pthread_t thread;
    uint64_t value = 0;
    int counter = (int)must("eventfd", eventfd(70, EFD_NONBLOCK));
    int semaphore = (int)must("eventfd", eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
    waited = (int)must("eventfd", eventfd(0, 0));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, reader, NULL));
    await_syscall(&reader_tid, SYS_read);
    update_here();
    expect("read", 8, read(counter, &value, 8));
    expect("counter", 70, (long long)value);
    for (int i = 0; i < 2; i++) {
        expect("read of the semaphore", 8, read(semaphore, &value, 8));
        expect("one at a time", 1, (long long)value);
    }
    expect("semaphore is empty", -1, read(semaphore, &value, 8));
    value = 33;
    expect("write", 8, write(waited, &value, 8));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("what the reader got", 33, (long long)got);
    return finish();
}

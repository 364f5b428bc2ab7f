/* A thread in the middle of writing 1 MiB to a pipe of 64 KiB: no byte is lost, repeated or changed. */
#include "check.h"
#include <pthread.h>

#define SIZE (1 << 20)
static int pipe_ends[2];
static unsigned char sent[SIZE], received[SIZE];
static _Atomic pid_t writer_tid;
static _Atomic int error;

static void *writer(void *unused) {
    (void)unused;
    writer_tid = gettid();
    for (size_t done = 0; done < SIZE;) {
        ssize_t length = write(pipe_ends[1], sent + done, SIZE - done); /* May return short, never -1. */
        if (length <= 0) {
            error = errno ? errno : -1;
            break;
        }
        done += (size_t)length;
    }
    close(pipe_ends[1]);
    return NULL;
}

int main(void) {
    pthread_t thread;
    size_t total = 0;
    must("pipe", pipe(pipe_ends));
    fill_pattern(sent, SIZE, 3);
    must_be_zero("pthread_create", pthread_create(&thread, NULL, writer, NULL));
    await_syscall(&writer_tid, SYS_write);
    expect("first bytes", 1000, read(pipe_ends[0], received, 1000));
    total = 1000;
    update_here();
    for (ssize_t length = 1; length > 0 && total < SIZE; total += (size_t)(length > 0 ? length : 0))
        length = read(pipe_ends[0], received + total, SIZE - total);
    char one;
    expect("nothing after the last byte", 0, read(pipe_ends[0], &one, 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("no error", 0, error);
    expect("bytes in all", SIZE, (long long)total);
    expect_pattern("bytes", received, SIZE, 3);
    return finish();
}

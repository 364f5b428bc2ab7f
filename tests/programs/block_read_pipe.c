/* A thread blocked in read on a pipe goes on waiting, and gets what is written later. */
#include "check.h"
#include <pthread.h>

static int pipe_ends[2];
static _Atomic pid_t reader_tid;
static char buffer[64];
static _Atomic int got, in_version;

SEPARATE static void note(int length) {
    got = length;
    in_version = version();
}

static void *reader(void *unused) {
    (void)unused;
    reader_tid = gettid();
    ssize_t length = read(pipe_ends[0], buffer, sizeof buffer);
    note(length < 0 ? -errno : (int)length);
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(pipe_ends));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, reader, NULL));
    await_syscall(&reader_tid, SYS_read);
    update_here();
    expect("still waiting", 0, got);
    expect("write", 6, write(pipe_ends[1], "hello", 6));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("length", 6, got);
    expect_text("bytes", "hello", buffer);
    expect("went on in the new version", version(), in_version);
    return finish();
}

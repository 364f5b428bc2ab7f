/* What frames of one function become depends on who called it and on whose thread it is; a line and a label to go on at. */
#include "check.h"
#include <pthread.h>

static int pipes[3][2];
static long results[3];
static _Atomic pid_t tids[3];

SEPARATE static long wait_on(int number) {
    char byte = 0;
    must("read", read(pipes[number][0], &byte, 1));
    return byte;
}
SEPARATE static void note(int number, long result) { results[number] = result; }
SEPARATE static void started(int number) { tids[number] = (pid_t)syscall(SYS_gettid); }

SEPARATE static void begin(int number) { __asm__ volatile("" : : "r"(number) : "memory"); }

SEPARATE static long twice(void) { return 2; }

#if VERSION == 1
SEPARATE static long serve(int number) {
    long seen = number * 10;
    seen += wait_on(number);
    return seen;
}
SEPARATE static long polled(int number) { return serve(number) + 1; }
SEPARATE static void *reader(void *argument) {
    started(0);
    note(0, serve(0));
    return argument;
}
SEPARATE static void *writer(void *argument) {
    started(1);
    note(1, serve(1));
    return argument;
}
SEPARATE static void *poller(void *argument) {
    started(2);
    note(2, polled(2));
    return argument;
}
#else
SEPARATE static long serve_reads(int number) {
    long seen = number * 10, times = 1;
again:
    begin(number + (int)times);
    seen += wait_on(number);
    if (times < twice()) {
        times++;
        goto again;
    }
    return seen + 1000;
}
SEPARATE static long serve_writes(int number) {
    long seen = number * 10;
    if (seen == 0) {
        seen += wait_on(number);
        seen += 5000;
    } else {
        seen += wait_on(number) * 2;
        seen += 2000;
    }
    return seen;
}
SEPARATE static long serve(int number) {
    long seen = number * 10;
    seen += wait_on(number);
    begin(number);
    begin(number + 1);
    return seen + 3000;
}
SEPARATE static long polled(int number) { return serve(number) + 1; }
SEPARATE static void *reader(void *argument) {
    started(0);
    note(0, serve_reads(0));
    return argument;
}
SEPARATE static void *writer(void *argument) {
    started(1);
    note(1, serve_writes(1));
    return argument;
}
SEPARATE static void *poller(void *argument) {
    started(2);
    note(2, polled(2));
    return argument;
}
#endif

static void *(*const bodies[3])(void *) = {reader, writer, poller};

SEPARATE static void check(void) {
#if VERSION >= 2
    expect("reader", 0 + 'a' + 'a' + 1000, results[0]);
    expect("writer", 10 + 2 * 'a' + 2000, results[1]);
    expect("poller", 20 + 3000 + 1, results[2]);
#else
    expect("reader", 'a', results[0]);
#endif
}

int main(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        must("pipe", pipe(pipes[i]));
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, bodies[i], NULL));
        await_syscall_of(getpid(), &tids[i], SYS_read);
    }
    update_here();
    for (int i = 0; i < 3; i++)
        must("write", write(pipes[i][1], "aaa", 3));
    for (int i = 0; i < 3; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    check();
    return finish();
}

/* A thread-local structure grows, in the main thread and in others; pointers into it are in blocks and in thread-local variables. */
#include "data.h"
#include <pthread.h>

struct context {
    int depth;
#if VERSION >= 2
    long trace[3];
#endif
    char name[12];
    struct context *self;
};
struct frame {
    struct context *context;
    char *letter;
};
static __thread struct context context = {.depth = 5, .name = "none"};
static __thread struct frame *frame;
static __thread int after = 77;
static int gate[2];
static _Atomic pid_t worker_tid;

SEPARATE static void make(const char *name, int depth) {
    context.depth = depth;
    strcpy(context.name, name);
    context.self = &context;
    frame = malloc(sizeof *frame);
    *frame = (struct frame){&context, &context.name[2]};
    after++;
}

SEPARATE static void check(const char *name, int depth) {
    expect("depth", depth, context.depth);
    expect_text("name", name, context.name);
    expect_pointer("self", &context, context.self);
    expect_pointer("context of the frame", &context, frame->context);
    expect_pointer("letter", &context.name[2], frame->letter);
    expect("the variable behind it", 78, after);
#if VERSION >= 2
    expect("trace", 0, context.trace[0] | context.trace[2]);
#endif
    free(frame);
}

static void *worker(void *unused) {
    char byte;
    (void)unused;
    make("worker", 9);
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    check("worker", 9);
    return NULL;
}

SEPARATE static void check_fresh(void) {
    expect("depth of a new thread", 5, context.depth);
    expect_text("name of a new thread", "none", context.name);
}

static void *newcomer(void *unused) {
    check_fresh();
    return unused;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(gate));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    make("main", 3);
    update_here();
    check("main", 3);
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, newcomer, NULL));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    use_heap();
    return finish();
}

/* Values of pthread keys, kept in the C library's memory, are objects that outgrow their blocks; a destructor frees them. */
#include "data.h"
#include <pthread.h>

struct arena {
    long used;
#if VERSION >= 2
    long limits[8];
#endif
    struct arena *next;
};
static struct arena *arenas;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static int gate[2];
static _Atomic pid_t worker_tid;
static int destroyed;

SEPARATE static void destroy(void *value) {
    struct arena *arena = value, **link = &arenas;
    pthread_mutex_lock(&lock);
    while (*link && *link != arena)
        link = &(*link)->next;
    expect_pointer("an arena that ends", arena, *link);
    if (*link)
        *link = arena->next;
    destroyed++;
    pthread_mutex_unlock(&lock);
    free(arena);
}

SEPARATE static void make(long used) {
    struct arena *arena = calloc(1, sizeof *arena);
    arena->used = used;
    pthread_mutex_lock(&lock);
    arena->next = arenas;
    arenas = arena;
    pthread_mutex_unlock(&lock);
    must_be_zero("pthread_setspecific", pthread_setspecific(key, arena));
}

SEPARATE static void check(long used) {
    struct arena *arena = pthread_getspecific(key);
    expect("used", used, arena->used);
#if VERSION >= 2
    expect("limits", 0, arena->limits[0] | arena->limits[7]);
    arena->limits[7] = 1;
#endif
}

static void *worker(void *unused) {
    char byte;
    (void)unused;
    make(31);
    worker_tid = gettid();
    expect("worker's read", 1, read(gate[0], &byte, 1));
    check(31);
    return NULL;
}

int main(void) {
    pthread_t thread;
    must("pipe", pipe(gate));
    must_be_zero("pthread_key_create", pthread_key_create(&key, destroy));
    must_be_zero("pthread_create", pthread_create(&thread, NULL, worker, NULL));
    await_syscall(&worker_tid, SYS_read);
    make(17);
    update_here();
    check(17);
    expect("release", 1, write(gate[1], "x", 1));
    must_be_zero("pthread_join", pthread_join(thread, NULL));
    expect("destroyed", 1, destroyed);
    use_heap();
    return finish();
}

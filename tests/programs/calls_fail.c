/* Functions of the new version that fail when they are called after the restore: the old version goes on as it was. */
#include "data.h"
#include <pthread.h>
#include <sys/wait.h>

struct entry {
    int key;
#if VERSION >= 2
    char text[60];
#endif
    struct entry *next;
};
static struct entry *entries;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long made;

SEPARATE void succeed(long *count) { *count += 1; }
SEPARATE void fault(volatile char *pointer) { *pointer = 1; }
SEPARATE void recurse(volatile long *count) {
    volatile char room[4096];
    room[0] = (char)*count;
    if (*count > 0)
        recurse(count);
    *count += room[0];
}
SEPARATE void give_up(void) { abort(); }
SEPARATE void end(int status) { exit(status); }
SEPARATE void split(void) { fork(); }
SEPARATE void hang(void) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&mutex);
}
SEPARATE void spin(volatile long *count) {
    for (;;)
        *count += 1;
}

SEPARATE static void make(void) {
    for (int i = 0; i < 50; i++) {
        struct entry *entry = calloc(1, sizeof *entry);
        entry->key = i;
        entry->next = entries;
        entries = entry;
        made++;
    }
}

SEPARATE static void check(void) {
    int i = 50;
    for (struct entry *entry = entries, *next; entry; entry = next) {
        next = entry->next;
        expect("key", --i, entry->key);
        free(entry);
    }
    expect("made", 50, made);
    expect("lock", 0, pthread_mutex_trylock(&mutex));
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

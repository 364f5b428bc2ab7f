/* Each thread's own variables take what the spec says: the new initial value, the old one's, an expression, a constant. */
#include "data.h"
#include <pthread.h>

enum { THREADS = 3 };
#if VERSION < 2
static __thread int limit = 10;
static __thread int kept = 20;
static __thread int budget = 30;
#else
static __thread int limit = 11;
static __thread int kept = 21;
static __thread long budget_cents = 3100;
static __thread struct { int first; volatile int epoch; } times = {8, 6}; /* the spec says 5 */
#endif
static pthread_barrier_t made, checked;

/* The first thread leaves its variables as they start. */
SEPARATE static void make(int number) {
    limit += number;
    kept += number;
#if VERSION < 2
    budget += number;
#else
    budget_cents = (30 + number) * 100;
#endif
}

SEPARATE static void check(int number) {
#if VERSION < 2
    /* There and back it took the initial value twice. */
    expect_true("limit", limit == 10 || (limit == 10 + number && !IS_FOREIGN));
    expect("kept", (IS_FOREIGN ? 21 : 20) + number, kept);
    expect("budget", 30 + number, budget);
#else
    expect("limit", 11 + (IS_FOREIGN ? 0 : number), limit);
    expect("kept", (IS_FOREIGN ? 20 : 21) + number, kept);
    expect("budget", (30 + number) * 100, budget_cents);
    expect("first", 8, times.first);
    expect("epoch", IS_FOREIGN ? 5 : 6, times.epoch);
#endif
}

static void *work(void *argument) {
    int number = (int)(intptr_t)argument;
    make(number);
    pthread_barrier_wait(&made);
    pthread_barrier_wait(&checked);
    check(number);
    return NULL;
}

SEPARATE static void note_version(void) { made_by = VERSION; }

int main(void) {
    pthread_t threads[THREADS];
    note_version();
    pthread_barrier_init(&made, NULL, THREADS + 1);
    pthread_barrier_init(&checked, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_create", pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i));
    pthread_barrier_wait(&made);
    update_here();
    pthread_barrier_wait(&checked);
    for (int i = 0; i < THREADS; i++)
        must_be_zero("pthread_join", pthread_join(threads[i], NULL));
    return finish();
}

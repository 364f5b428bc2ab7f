// A worker takes jobs from a list and waits where it is empty; in the new version it counts the jobs that are done. Whether the list is empty was
// asked when the wait began, not a job ago.
// rule: 3.28, 3.31
// kind: release
// good: right
// point: 2
// input: 5 2 1 3 4
#include "frames.h"

struct job {
    struct job *next;
    long number;
};
static struct job *first;
static long done;

static NOINLINE void push(long count) {
    for (long i = 0; i < count; i++) {
        struct job *job = calloc(1, sizeof *job);
        job->number = i;
        job->next = first;
        first = job;
    }
}

NOINLINE void work(long jobs) {
    while (jobs > 0) {
        while (!first) {
            point();
            push(next());
        }
        struct job *job = first;
        first = job->next;
        say("job", job->number);
        jobs--;
#if NEW
        done++;
#endif
    }
}

int main(void) {
    work(next());
    say("counted", done > 0);
    return 0;
}

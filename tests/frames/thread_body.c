// A thread's first function changes while the thread waits in it.
// rule: 3
// good: right
// point: 2
// input: 4
// flags: -pthread
#include "frames.h"

#include <pthread.h>

struct job {
    long rounds, result;
};

static void *body(void *argument) {
    struct job *job = argument;
    long total = 1;
    for (long i = 0; i < job->rounds; i++) {
        point();
        total = total * 2 + i;
#if NEW
        say("total", total);
#endif
    }
    job->result = total;
    return NULL;
}

int main(void) {
    static struct job job;
    job.rounds = next();
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, &job))
        return 1;
    pthread_join(thread, NULL);
    say("result", job.result);
    return 0;
}

// main changes while it waits for a thread to end, which waits in unchanged code.
// rule: 3
// good: right
// point: 1
// input: 4
// flags: -pthread
#include "frames.h"

#include <pthread.h>

static void *body(void *argument) {
    long *value = argument;
    point();
    *value *= 2;
    return NULL;
}

int main(void) {
    long value = next(), kept = value * 11;
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, &value))
        return 1;
    pthread_join(thread, NULL);
#if NEW
    say("kept", kept);
#endif
    say("result", value + kept);
    return 0;
}

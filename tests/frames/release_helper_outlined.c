// A piece of a loop moves out into a function of its own.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 4 3 8 5 1
#include "frames.h"

struct queue {
    long items[8], head, tail;
};

#if NEW
NOINLINE void put(struct queue *queue, long value) {
    queue->items[queue->tail % 8] = value;
    queue->tail++;
}
#endif

NOINLINE long fill(struct queue *queue, long count) {
    long dropped = 0;
    for (long i = 0; i < count; i++) {
        point();
        long value = next();
        if (value < 2) {
            dropped++;
            continue;
        }
#if NEW
        put(queue, value);
#else
        queue->items[queue->tail % 8] = value;
        queue->tail++;
#endif
    }
    return dropped;
}

int main(void) {
    static struct queue queue;
    long count = next();
    say("dropped", fill(&queue, count));
    say("tail", queue.tail);
    say("first", queue.items[0]);
    return 0;
}

// What is done behind the wait is done in another order.
// rule: 3.3
// kind: release
// good: right
// point: 2
// input: 3 4 5 6 7 8
#include "frames.h"

struct connection {
    long received, sent, last;
};

NOINLINE void step(struct connection *connection, long weight) {
    point();
    long value = next();
#if NEW
    connection->last = value;
    connection->sent += weight;
    connection->received += value * weight;
#else
    connection->received += value * weight;
    connection->last = value;
    connection->sent += weight;
#endif
    say("last", connection->last);
}

int main(void) {
    static struct connection connection;
    long rounds = next();
    for (long i = 1; i <= rounds; i++)
        step(&connection, i);
    say("received", connection.received);
    say("sent", connection.sent);
    return 0;
}

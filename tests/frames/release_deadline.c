// A timer loop counts its deadline from another base.
// rule: 3.3
// kind: release
// good: right
// point: 1
// input: 40 3 9 50 20
#include "frames.h"

struct timer {
    long deadline, period, fired;
};

NOINLINE void tick(struct timer *timers, int count, long now) {
    for (int i = 0; i < count; i++) {
        struct timer *timer = &timers[i];
        if (timer->deadline > now)
            continue;
        point();
        timer->fired++;
#if NEW
        timer->deadline = now + timer->period;
#else
        timer->deadline += timer->period;
#endif
    }
}

int main(void) {
    static struct timer timers[3] = {{1, 5, 0}, {20, 7, 0}, {90, 1, 0}};
    long now = next();
    tick(timers, 3, now);
    for (int i = 0; i < 3; i++) {
        say("deadline", timers[i].deadline);
        say("fired", timers[i].fired);
    }
    return 0;
}

/* A timer with SIGEV_THREAD, whose function the C library keeps in a structure of its own. */
#include "check.h"
#include <semaphore.h>
#include <signal.h>
#include <time.h>

static sem_t fired;
static int fired_version;
static void *fired_value;

SEPARATE static void on_timer(union sigval value) {
    fired_version = version();
    fired_value = value.sival_ptr;
    sem_post(&fired);
}

int main(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    struct itimerspec late = {.it_value = {4000, 0}}, soon = {.it_value = {0, 1000000}};
    event.sigev_notify_function = on_timer;
    event.sigev_value.sival_ptr = &fired_value;
    must("sem_init", sem_init(&fired, 0, 0));
    must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    must("timer_settime", timer_settime(timer, 0, &late, NULL));
    update_here();
    must("timer_settime", timer_settime(timer, 0, &soon, NULL));
    expect("wait", 0, sem_wait(&fired));
    expect("version of the function", version(), fired_version);
    expect_pointer("value", &fired_value, fired_value);
    must("timer_delete", timer_delete(timer));
    return finish();
}

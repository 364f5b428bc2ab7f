/* Timer descriptors keep their time, period and expirations that nobody has read. */
#include "check.h"
#include <poll.h>
#include <sys/timerfd.h>

int main(void) {
    struct itimerspec value = {.it_value = {5000, 0}, .it_interval = {11, 0}}, left;
    struct itimerspec now = {.it_value = {0, 1}};
    uint64_t count = 0;
    int late = (int)must("timerfd_create", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    int expired = (int)must("timerfd_create", timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    int idle = (int)must("timerfd_create", timerfd_create(CLOCK_BOOTTIME, 0));
    must("timerfd_settime", timerfd_settime(late, 0, &value, NULL));
    must("timerfd_settime", timerfd_settime(expired, 0, &now, NULL));
    struct pollfd one = {.fd = expired, .events = POLLIN};
    expect("expired", 1, poll(&one, 1, -1));
    update_here();
    must("timerfd_gettime", timerfd_gettime(late, &left));
    expect("period", 11, left.it_interval.tv_sec);
    expect_true("time left", left.it_value.tv_sec <= 5000 && left.it_value.tv_sec > 4900);
    expect("read of the expired one", 8, read(expired, &count, 8));
    expect("its count", 1, (long long)count);
    expect("nothing more", -1, read(expired, &count, 8));
    expect("close-on-exec", FD_CLOEXEC, fcntl(late, F_GETFD));
    must("timerfd_gettime", timerfd_gettime(idle, &left));
    expect("idle", 0, left.it_value.tv_sec + left.it_value.tv_nsec);
    must("timerfd_settime", timerfd_settime(late, 0, &now, NULL));
    expect("read", 8, read(late, &count, 8));
    expect("count", 1, (long long)count);
    return finish();
}

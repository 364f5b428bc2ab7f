/* Resource limits stay, soft and hard, also where one is so low that the update itself must mind it. */
#include "check.h"
#include <sys/resource.h>

static const struct {
    int which;
    const char *name;
    rlim_t soft, hard;
} wanted[] = {{RLIMIT_CORE, "core", 12345, 23456},       {RLIMIT_NOFILE, "nofile", 64, 128},
              {RLIMIT_FSIZE, "fsize", 1 << 20, 1 << 21}, {RLIMIT_MEMLOCK, "memlock", 65536, 65536},
              {RLIMIT_SIGPENDING, "sigpending", 50, 60}, {RLIMIT_MSGQUEUE, "msgqueue", 1000, 2000},
              {RLIMIT_CPU, "cpu", 3000, 4000},           {RLIMIT_RTTIME, "rttime", 1000000, 2000000}};
#define COUNT (sizeof wanted / sizeof wanted[0])

int main(void) {
    struct rlimit limit, stack;
    for (size_t i = 0; i < COUNT; i++) {
        limit = (struct rlimit){wanted[i].soft, wanted[i].hard};
        must(wanted[i].name, setrlimit(wanted[i].which, &limit));
    }
    must("getrlimit", getrlimit(RLIMIT_STACK, &stack));
    update_here();
    for (size_t i = 0; i < COUNT; i++) {
        must(wanted[i].name, getrlimit(wanted[i].which, &limit));
        expect(wanted[i].name, (long long)wanted[i].soft, (long long)limit.rlim_cur);
        expect(wanted[i].name, (long long)wanted[i].hard, (long long)limit.rlim_max);
    }
    must("getrlimit", getrlimit(RLIMIT_STACK, &limit));
    expect_true("stack", limit.rlim_cur == stack.rlim_cur && limit.rlim_max == stack.rlim_max);
    int last = -1;
    for (int fd; (fd = dup(0)) >= 0;)
        last = fd;
    expect("highest descriptor", 63, last);
    return finish();
}

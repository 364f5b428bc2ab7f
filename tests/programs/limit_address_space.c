/* RLIMIT_AS leaves little room beyond what is mapped: the update works within it, or says before anything happens that it
 * cannot. */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>

int main(void) {
    char *block = malloc(8 << 20);
    fill_pattern(block, 8 << 20, 1);
    long long size_kib = proc_number("/proc/self/status", "VmSize", 10);
    struct rlimit limit = {(rlim_t)(size_kib + 1024) * 1024, RLIM_INFINITY}, found;
    must("setrlimit", setrlimit(RLIMIT_AS, &limit));
    update_here();
    must("getrlimit", getrlimit(RLIMIT_AS, &found));
    expect_true("limit", found.rlim_cur == limit.rlim_cur);
    expect_pattern("block", block, 8 << 20, 1);
    free(block);
    return finish();
}

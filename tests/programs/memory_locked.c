/* mlock, mlock2(MLOCK_ONFAULT) and mlockall(MCL_FUTURE) stay in force. */
#include "check.h"
#include <sys/mman.h>

#define LENGTH (64 * 1024)

/* The value of `name:` in the part of smaps that describes the mapping at `address`. */
SEPARATE static long long smaps_value(const void *address, const char *name) {
    char line[256];
    unsigned long low, high;
    int inside = 0;
    long long value = -1;
    FILE *file = fopen("/proc/self/smaps", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            inside = (unsigned long)address >= low && (unsigned long)address < high;
        else if (inside && !strncmp(line, name, strlen(name)))
            value = strtoll(line + strlen(name) + 1, NULL, 10);
    }
    if (file)
        fclose(file);
    return value;
}

SEPARATE static void *map(void) {
    void *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must("mmap", memory == MAP_FAILED ? -1 : 0);
    return memory;
}

int main(void) {
    void *locked = map(), *between = map(), *on_fault = map();
    must("mprotect", mprotect(between, LENGTH, PROT_READ)); /* Keeps the mappings apart. */
    must("mlock", mlock(locked, LENGTH));
    must("mlock2", mlock2(on_fault, LENGTH, MLOCK_ONFAULT));
    ((char *)on_fault)[5] = 1;
    must("mlockall", mlockall(MCL_FUTURE));
    update_here();
    expect("locked, KiB", LENGTH / 1024, smaps_value(locked, "Locked"));
    expect("on fault: only what was touched, KiB", 4, smaps_value(on_fault, "Rss"));
    expect("not locked, KiB", 0, smaps_value(between, "Locked"));
    void *later = map();
    must("mprotect", mprotect(later, LENGTH, PROT_READ)); /* Apart from whatever it was mapped beside. */
    expect("mapped after mlockall, KiB", LENGTH / 1024, smaps_value(later, "Locked"));
    must("munlockall", munlockall());
    expect("VmLck", 0, proc_number("/proc/self/status", "VmLck", 10));
    return finish();
}

/* The main stack still grows on demand, keeps what is on it, and a large array on it is whole. */
#include "check.h"
#include <sys/resource.h>

SEPARATE static long recurse(int depth) {
    volatile char block[4096];
    block[0] = (char)depth;
    block[4095] = (char)depth;
    long below = depth ? recurse(depth - 1) : 0;
    return below + (block[0] == (char)depth) + (block[4095] == (char)depth);
}

int main(void) {
    char on_stack[50000];
    int gap = -1;
    char line[256];
    unsigned long low, high;
    fill_pattern(on_stack, sizeof on_stack, 6);
    update_here();
    expect_pattern("array on the stack", on_stack, sizeof on_stack, 6);
    expect("six megabytes deep", 2 * 1501, recurse(1500));
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[stack]") && sscanf(line, "%lx-%lx", &low, &high) == 2)
            gap = (unsigned long)on_stack >= low && (unsigned long)on_stack < high;
    if (maps)
        fclose(maps);
    expect("the stack is labelled", 1, gap);
    return finish();
}

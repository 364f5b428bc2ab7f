/* MADV_DONTFORK, WIPEONFORK, HUGEPAGE, NOHUGEPAGE, DONTDUMP, SEQUENTIAL: the mapping's flags stay, and work. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define LENGTH 8192

SEPARATE static int has_flag(const void *address, const char *flag) {
    char line[512];
    unsigned long low, high;
    int inside = 0, found = 0;
    FILE *file = fopen("/proc/self/smaps", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            inside = (unsigned long)address >= low && (unsigned long)address < high;
        else if (inside && !strncmp(line, "VmFlags:", 8))
            found = strstr(line, flag) != NULL;
    }
    if (file)
        fclose(file);
    return found;
}

static const struct {
    int advice;
    const char *flag;
} advices[] = {{MADV_DONTFORK, " dc"},    {MADV_WIPEONFORK, " wf"},  {MADV_HUGEPAGE, " hg"},  {MADV_NOHUGEPAGE, " nh"},
               {MADV_DONTDUMP, " dd"},    {MADV_SEQUENTIAL, " sr"},  {MADV_RANDOM, " rr"},    {MADV_NORMAL, " rd"}};
#define COUNT (sizeof advices / sizeof advices[0])

int main(void) {
    char *memory[COUNT];
    int applied[COUNT], status = 0;
    for (size_t i = 0; i < COUNT; i++) {
        memory[i] = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must("mmap", memory[i] == MAP_FAILED ? -1 : 0);
        applied[i] = madvise(memory[i], LENGTH, advices[i].advice) == 0; /* A kernel without huge pages refuses. */
        memset(memory[i], 'a' + (int)i, LENGTH);
    }
    update_here();
    for (size_t i = 0; i < COUNT; i++) {
        if (applied[i])
            expect_true(advices[i].flag, has_flag(memory[i], advices[i].flag));
        for (size_t k = 0; k < COUNT; k++)
            if (k != i && advices[i].advice < MADV_NORMAL)
                expect_true("no flag of another", !has_flag(memory[k], advices[i].flag));
        expect("content", 'a' + (int)i, memory[i][LENGTH - 1]);
    }
    pid_t child = (pid_t)must("fork", fork());
    if (child == 0) {
        int gone = mprotect(memory[0], LENGTH, PROT_READ) == -1 && errno == ENOMEM;
        _exit(gone && memory[1][0] == 0 && memory[2][0] == 'c' ? 0 : 1);
    }
    must("waitpid", waitpid(child, &status, 0));
    expect("what a child sees", 0, status);
    return finish();
}

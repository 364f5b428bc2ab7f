/* What the program reads of itself: /proc/self/exe names the new build; cmdline, environ, comm and auxv are right. */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

static char before_arguments[4096], before_environment[65536], before_comm[64];
static ssize_t arguments_length, environment_length;

SEPARATE static ssize_t slurp(const char *path, char *text, size_t size) {
    int fd = (int)must(path, open(path, O_RDONLY | O_CLOEXEC));
    ssize_t total = 0;
    for (ssize_t got; (got = read(fd, text + total, size - (size_t)total)) > 0;)
        total += got;
    close(fd);
    return total;
}

SEPARATE static void check_vector(void) {
    ElfW(auxv_t) vector[64];
    ssize_t length = slurp("/proc/self/auxv", (char *)vector, sizeof vector);
    extern const ElfW(Ehdr) __ehdr_start;
    unsigned long base = (unsigned long)&__ehdr_start;
    int seen = 0;
    for (size_t i = 0; i < (size_t)length / sizeof vector[0] && vector[i].a_type != AT_NULL; i++) {
        if (vector[i].a_type == AT_PHDR && ++seen)
            expect_pointer("AT_PHDR in /proc", (void *)(base + __ehdr_start.e_phoff), (void *)vector[i].a_un.a_val);
        if (vector[i].a_type == AT_ENTRY && ++seen)
            expect_pointer("AT_ENTRY in /proc", (void *)(base + __ehdr_start.e_entry), (void *)vector[i].a_un.a_val);
    }
    expect("entries looked at", 2, seen);
    expect_pointer("AT_PHDR", (void *)(base + __ehdr_start.e_phoff), (void *)getauxval(AT_PHDR));
    expect("AT_PHNUM", __ehdr_start.e_phnum, (long long)getauxval(AT_PHNUM));
    expect_pointer("AT_ENTRY", (void *)(base + __ehdr_start.e_entry), (void *)getauxval(AT_ENTRY));
}

/* The driver names each build NAME-vVERSION…, so the link tells which one runs. */
SEPARATE static void check_exe(void) {
    char path[4096] = "", mark[16];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    expect_true("readlink", length > 0);
    snprintf(mark, sizeof mark, "-v%d", version());
    if (getenv("DSU_TEST_MARKER"))
        expect_true(path, strstr(path, mark) != NULL);
    FILE *file = fopen("/proc/self/exe", "re");
    expect_true("the file can be opened", file != NULL);
    if (file)
        fclose(file);
}

int main(int count, char **arguments) {
    static char now[65536];
    arguments_length = slurp("/proc/self/cmdline", before_arguments, sizeof before_arguments);
    environment_length = slurp("/proc/self/environ", before_environment, sizeof before_environment);
    slurp("/proc/self/comm", before_comm, sizeof before_comm);
    update_here();
    expect("length of cmdline", arguments_length, slurp("/proc/self/cmdline", now, sizeof now));
    expect_true("cmdline", !memcmp(now, before_arguments, (size_t)arguments_length));
    expect_text("argv", arguments[count - 1], now + arguments_length - strlen(arguments[count - 1]) - 1);
    expect("length of environ", environment_length, slurp("/proc/self/environ", now, sizeof now));
    expect_true("environ", !memcmp(now, before_environment, (size_t)environment_length));
    memset(now, 0, sizeof now);
    slurp("/proc/self/comm", now, sizeof now);
    expect_text("comm", before_comm, now);
    check_vector();
    check_exe();
    return finish();
}

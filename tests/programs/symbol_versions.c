/* Symbols bound to an old version by the old build stay what each build asked for. */
#include "check.h"
#include <dlfcn.h>

/* Two versions of one name exist in the C library: memcpy before 2.14 is memmove. */
__asm__(".symver old_memcpy, memcpy@GLIBC_2.2.5");
void *old_memcpy(void *, const void *, size_t);
static void *(*volatile kept_old)(void *, const void *, size_t) = old_memcpy;
static void *(*volatile kept_new)(void *, const void *, size_t) = memcpy;

SEPARATE static void copy(char *to, const char *from) {
#if VERSION >= 2
    memcpy(to, from, strlen(from) + 1);
#else
    old_memcpy(to, from, strlen(from) + 1);
#endif
}

int main(void) {
    char text[32] = "";
    void *old = dlvsym(RTLD_DEFAULT, "memcpy", "GLIBC_2.2.5"), *current = dlvsym(RTLD_DEFAULT, "memcpy", "GLIBC_2.14");
    expect_pointer("old version", old, (void *)kept_old);
    expect_pointer("current version", current, (void *)kept_new);
    update_here();
    expect_pointer("old version", old, (void *)kept_old);
    expect_pointer("current version", current, (void *)kept_new);
    copy(text, "copied");
    expect_text("copy", "copied", text);
    char overlap[16] = "0123456789";
    kept_old(overlap + 1, overlap, 9);
    expect_text("the old one moves", "0012345678", overlap);
    return finish();
}

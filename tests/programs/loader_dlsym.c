/* dlsym finds the functions and variables of the program that runs, by RTLD_DEFAULT and through a handle from before. */
#include "check.h"
#include <dlfcn.h>

int exported_variable = 5;
__attribute__((noipa)) int exported_function(void) { return version(); }
#if VERSION >= 2
__attribute__((noipa)) int only_in_two(void) { return 22; }
#else
__attribute__((noipa)) int only_in_one(void) { return 11; }
#endif

SEPARATE static void *find(void *handle, const char *name) {
    dlerror();
    return dlsym(handle, name);
}

SEPARATE static void check_own(void *handle) {
    int two = VERSION >= 2;
    expect("function of version one", !two, find(handle, "only_in_one") != NULL);
    expect("function of version two", two, find(handle, "only_in_two") != NULL);
}

int main(void) {
    void *before = dlopen(NULL, RTLD_NOW);
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    int *variable = dlsym(RTLD_DEFAULT, "exported_variable");
    int (*function)(void) = (int (*)(void))dlsym(before, "exported_function");
    must("dlsym", before && libc && variable && function ? 0 : -1);
    *variable = 6;
    update_here();
    expect("function found before", version(), function());
    expect("variable found before", 6, *variable);
    expect_pointer("variable", &exported_variable, find(RTLD_DEFAULT, "exported_variable"));
    expect_pointer("function", (void *)exported_function, find(before, "exported_function"));
    expect_pointer("handle", before, dlopen(NULL, RTLD_NOW));
    expect_pointer("copied variable", &stdout, find(RTLD_DEFAULT, "stdout"));
    expect_true("function of the C library", find(libc, "getaddrinfo") != NULL);
    expect_pointer("no such symbol", NULL, find(RTLD_DEFAULT, "no_such_symbol_anywhere"));
    expect_true("dlerror says so", dlerror() != NULL);
    check_own(before);
    return finish();
}

/* A library loaded before the update calls back into the program, and is bound lazily to it only afterwards. */
#include "check.h"
#include <dlfcn.h>

int program_value = 3;
__attribute__((noipa)) int program_function(int x) { return x + 10 * version(); }
SEPARATE static int callback(int x) { return x * version(); }

int main(void) {
    const char *path = getenv("DSU_TEST_LIBRARY");
    must("DSU_TEST_LIBRARY", path ? 0 : -1);
    void *library = dlopen(path, RTLD_LAZY);
    must(library ? "dlopen" : dlerror(), library ? 0 : -1);
    void (*set)(int (*)(int)) = (void (*)(int (*)(int)))dlsym(library, "library_set_callback");
    int (*call)(int) = (int (*)(int))dlsym(library, "library_call_back");
    int (*late)(int) = (int (*)(int))dlsym(library, "library_calls_program");
    int *(*address)(void) = (int *(*)(void))dlsym(library, "library_address_of_program_value");
    must("dlsym", set && call && late && address ? 0 : -1);
    set(callback);
    expect("callback before", 7 * version(), call(7));
    program_value = 4;
    update_here();
    expect("callback", 7 * version(), call(7));
    expect("first lazy call into the program", 5 + 10 * version() + 4, late(5));
    expect_pointer("address of the program's variable", &program_value, address());
    must("dlclose", dlclose(library) ? -1 : 0);
    library = dlopen(path, RTLD_NOW);
    must(library ? "dlopen" : dlerror(), library ? 0 : -1);
    late = (int (*)(int))dlsym(library, "library_calls_program");
    expect("loaded again", 6 + 10 * version() + 4, late ? late(6) : -1);
    return finish();
}

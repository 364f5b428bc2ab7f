/* Variables of the C library that live in the program (COPY relocations): both sides see one stdout, environ, optind. */
#include "check.h"
#include <dlfcn.h>
#include <getopt.h>

extern char **environ;
extern char *program_invocation_name;

int main(void) {
    char *arguments[] = {"program", "-a", "-b", "rest", NULL};
    char text[64] = "";
    FILE *opened = fopen("redirected", "we"), *original = stdout;
    must("fopen", opened ? 0 : -1);
    expect("getopt before", 'a', getopt(4, arguments, "ab"));
    must("setenv", setenv("DSU_BEFORE", "yes", 1));
    stdout = opened;
    update_here();
    expect_pointer("stdout", opened, stdout);
    printf("through printf\n"); /* The library must read the program's copy. */
    fclose(stdout);
    stdout = original;
    int fd = (int)must("open", open("redirected", O_RDONLY));
    expect("length", 15, read(fd, text, sizeof text));
    expect_text("text", "through printf\n", text);
    expect("optind", 2, optind);
    expect("getopt", 'b', getopt(4, arguments, "ab"));
    expect("getopt at the end", -1, getopt(4, arguments, "ab"));
    expect_text("variable set before", "yes", getenv("DSU_BEFORE"));
    must("setenv", setenv("DSU_AFTER", "too", 1));
    int found = 0;
    for (char **entry = environ; *entry; entry++)
        found += !strcmp(*entry, "DSU_AFTER=too") || !strcmp(*entry, "DSU_BEFORE=yes");
    expect("entries in environ", 2, found);
    expect_pointer("environ as the loader finds it", &environ, dlsym(RTLD_DEFAULT, "environ"));
    expect_true("program_invocation_name", program_invocation_name && program_invocation_name[0]);
    return finish();
}

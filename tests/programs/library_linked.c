/* A library that the program is linked with keeps its state, its callbacks and its copy of a variable of the program. */
#include "check.h"

extern int library_counter; /* Copied into the program at link time. */
void library_register(int (*callback)(int), const char *name);
int library_fire(int x);
const char *library_name(void);
int *library_counter_address(void);

SEPARATE static int on_fire(int x) { return x + version(); }
SEPARATE static const char *name(void) { return "a literal that the library keeps"; }

int main(void) {
    library_register(on_fire, name());
    library_counter = 5;
    expect("fire before", 10 + version(), library_fire(10));
    update_here();
    expect("copied variable", 6, library_counter);
    expect("fire", 20 + version(), library_fire(20));
    expect("copied variable, counted by the library", 7, library_counter);
    expect_pointer("one variable for both", &library_counter, library_counter_address());
    expect_text("literal", "a literal that the library keeps", library_name());
    return finish();
}

/* Globals whose initialiser changed: the untouched one takes the new value, the touched one keeps its own. */
#include "check.h"

#if VERSION >= 2
int untouched = 20;
int touched = 40;
const int constant = 60;
char banner[32] = "second banner";
#else
int untouched = 10;
int touched = 30;
const int constant = 50;
char banner[32] = "first banner";
#endif

SEPARATE static int new_untouched(void) { return VERSION >= 2 ? 20 : 10; }
SEPARATE static int new_constant(void) { return VERSION >= 2 ? 60 : 50; }
SEPARATE static const char *new_banner(void) { return VERSION >= 2 ? "second banner" : "first banner"; }

int main(void) {
    touched = 31;
    update_here();
    expect("untouched", new_untouched(), *(volatile int *)&untouched);
    expect("touched", 31, touched);
    expect("constant", new_constant(), *(const volatile int *)&constant);
    expect_text("banner", new_banner(), banner);
    return finish();
}

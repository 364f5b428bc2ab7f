/* A changed function is on the stack for as long as the driver does not answer: refused after the time limit. */
#include "check.h"

static int calls;

SEPARATE static int wait_in_changed_function(int x) {
#if VERSION >= 2
    calls += 2;
#else
    calls++;
#endif
    update_here();
    return x + (calls ? 0 : 1);
}

int main(void) {
    expect("result", 7, wait_in_changed_function(7));
    return finish();
}

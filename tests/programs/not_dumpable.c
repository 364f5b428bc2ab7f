/* A program that made itself not dumpable stays so. Only root can move it. */
#include "check.h"
#include <sys/prctl.h>

int main(void) {
    must("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0));
    update_here();
    expect("dumpable", 0, prctl(PR_GET_DUMPABLE));
    return finish();
}

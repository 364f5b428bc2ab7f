/* The execution domain: ADDR_NO_RANDOMIZE and STICKY_TIMEOUTS stay set, READ_IMPLIES_EXEC stays unset. */
#include "check.h"
#include <sys/mman.h>
#include <sys/personality.h>

int main(void) {
    must("personality", personality(ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS));
    update_here();
    expect("personality", ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS, personality(0xffffffff));
    return finish();
}

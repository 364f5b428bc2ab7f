/* A context of asynchronous I/O belongs to the address space that made it: refused by name. */
#include "check.h"
#include <linux/aio_abi.h>

int main(void) {
    aio_context_t context = 0;
    if (syscall(SYS_io_setup, 4, &context))
        skip("io_setup");
    update_here();
    must("io_destroy", syscall(SYS_io_destroy, context));
    return finish();
}

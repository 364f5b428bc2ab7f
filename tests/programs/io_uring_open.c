/* An io_uring belongs to the address space that made it: refused by name. */
#include "check.h"
#include <linux/io_uring.h>

int main(void) {
    struct io_uring_params parameters = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring < 0)
        skip("io_uring_setup");
    update_here();
    expect("still open", FD_CLOEXEC, fcntl(ring, F_GETFD));
    return finish();
}

/* A userfaultfd belongs to the address space that made it: refused by name. */
#include "check.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

int main(void) {
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        skip("userfaultfd");
    struct uffdio_api api = {.api = UFFD_API};
    must("UFFDIO_API", ioctl(fd, UFFDIO_API, &api));
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register registration = {.range = {(unsigned long)memory, 65536}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    must("UFFDIO_REGISTER", ioctl(fd, UFFDIO_REGISTER, &registration));
    update_here();
    must("UFFDIO_UNREGISTER", ioctl(fd, UFFDIO_UNREGISTER, &registration.range));
    return finish();
}

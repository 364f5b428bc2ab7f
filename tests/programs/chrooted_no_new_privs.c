/* A user in an empty root directory, where no loader can be reached, and who takes no privilege from any file. */
#include "check.h"
#include <linux/capability.h>
#include <sys/prctl.h>

int main(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}}, found[2];
    must("chroot", chroot("."));
    must("chdir", chdir("/"));
    must("PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    must("setresgid", setresgid(65534, 65534, 65534));
    must("setresuid", setresuid(65534, 65534, 65534));
    data[0].effective = data[0].permitted = 1u << CAP_NET_BIND_SERVICE;
    must("capset", syscall(SYS_capset, &header, data));
    must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    update_here();
    must("capget", syscall(SYS_capget, &header, found));
    expect("effective", data[0].effective, found[0].effective);
    expect("permitted", data[0].permitted, found[0].permitted);
    expect("inheritable", 0, found[0].inheritable);
    expect("upper half", 0, found[1].effective | found[1].permitted | found[1].inheritable);
    expect("user", 65534, geteuid());
    expect("root directory", -1, open("/bin", O_RDONLY));
    return finish();
}

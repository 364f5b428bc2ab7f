/* Root that gave up all capabilities but one, and that one from the bounding set: the update gives none back. */
#include "check.h"
#include <linux/capability.h>
#include <sys/prctl.h>

int main(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}}, found[2];
    for (int i = 0; i < 41; i++)
        if (i != CAP_NET_BIND_SERVICE && i != CAP_KILL)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* EINVAL for one that this kernel does not have. */
    data[0].effective = 1u << CAP_NET_BIND_SERVICE;
    data[0].permitted = data[0].inheritable = 1u << CAP_NET_BIND_SERVICE;
    must("capset", syscall(SYS_capset, &header, data));
    must("PR_CAP_AMBIENT_RAISE", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
    must("PR_SET_SECUREBITS", 0);
    update_here();
    must("capget", syscall(SYS_capget, &header, found));
    expect("effective", data[0].effective, found[0].effective);
    expect("permitted", data[0].permitted, found[0].permitted);
    expect("inheritable", data[0].inheritable, found[0].inheritable);
    expect("upper half", 0, found[1].effective | found[1].permitted | found[1].inheritable);
    expect("ambient", 1, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0));
    expect("bounding, kept", 1, prctl(PR_CAPBSET_READ, CAP_KILL));
    expect("bounding, dropped", 0, prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN));
    expect("raising again", -1, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    return finish();
}

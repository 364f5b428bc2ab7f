/* Started by root, now another user with a saved ID and supplementary groups of its own. */
#include "check.h"
#include <grp.h>
#include <sys/stat.h>

int main(void) {
    gid_t groups[3] = {2001, 2002, 2003}, found[8];
    uid_t real, effective, saved;
    must("chown", chown(".", 12345, 12346));
    must("setgroups", setgroups(3, groups));
    must("setresgid", setresgid(12346, 12346, 12347));
    must("setresuid", setresuid(12345, 12345, 12348));
    update_here();
    must("getresuid", getresuid(&real, &effective, &saved));
    expect("real", 12345, real);
    expect("effective", 12345, effective);
    expect("saved", 12348, saved);
    must("getresgid", getresgid(&real, &effective, &saved));
    expect("real group", 12346, real);
    expect("effective group", 12346, effective);
    expect("saved group", 12347, saved);
    expect("number of groups", 3, getgroups(8, found));
    for (int i = 0; i < 3; i++)
        expect("group", groups[i], found[i]);
    int fd = (int)must("open", open("mine", O_WRONLY | O_CREAT, 0600));
    struct stat status;
    must("fstat", fstat(fd, &status));
    expect("owner of a new file", 12345, status.st_uid);
    expect("root is out of reach", -1, setuid(0));
    must("seteuid", seteuid(12348));
    expect("the saved ID can be taken", 12348, geteuid());
    return finish();
}

/* Directory descriptors: openat works, a directory stream goes on where it was, O_PATH stays one. */
#include "check.h"
#include <dirent.h>
#include <sys/stat.h>

#define FILES 300

int main(void) {
    char name[32];
    unsigned char seen[FILES] = {0};
    struct stat status;
    must("mkdir", mkdir("directory", 0700));
    int directory = (int)must("open", open("directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%d", i);
        close((int)must("openat", openat(directory, name, O_WRONLY | O_CREAT, 0600)));
    }
    int path = (int)must("open", open("directory/7", O_PATH));
    DIR *stream = opendir("directory");
    for (int i = 0; i < FILES / 2; i++) {
        struct dirent *entry = readdir(stream);
        if (entry && entry->d_name[0] != '.')
            seen[atoi(entry->d_name)]++;
    }
    update_here();
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            seen[atoi(entry->d_name)]++;
    for (int i = 0; i < FILES; i++)
        if (seen[i] != 1) {
            expect("times that an entry was listed", 1, seen[i]);
            break;
        }
    must("fstatat", fstatat(directory, "299", &status, 0));
    expect_true("a regular file", S_ISREG(status.st_mode));
    expect("O_PATH", O_PATH, fcntl(path, F_GETFL) & O_PATH);
    must("fstat", fstat(path, &status));
    expect("read of O_PATH", EBADF, read(path, name, 1) == -1 ? errno : 0);
    closedir(stream);
    return finish();
}

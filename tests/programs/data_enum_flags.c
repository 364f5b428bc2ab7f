/* An enumeration of bits is renumbered, and one bit has another name: sets of them follow bit by bit. */
#include "data.h"

#if VERSION < 2
enum permission { MAY_READ = 1, MAY_WRITE = 2, MAY_RUN = 4, MAY_LIST = 8 };
#define MAY_EXECUTE MAY_RUN
#else
enum permission { MAY_EXECUTE = 1, MAY_LIST = 2, MAY_READ = 16, MAY_WRITE = 64, MAY_OWN = 128 };
#endif
struct file {
    enum permission mask;
    int inode;
    struct file *next;
};
static struct file *files;

SEPARATE static enum permission set_of(int bits) {
    int set = 0;
    set |= bits & 1 ? MAY_READ : 0;
    set |= bits & 2 ? MAY_WRITE : 0;
    set |= bits & 4 ? MAY_EXECUTE : 0;
    set |= bits & 8 ? MAY_LIST : 0;
    return (enum permission)set;
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 15; i >= 0; i--) {
        struct file *file = malloc(sizeof *file);
        *file = (struct file){set_of(i), i, files};
        files = file;
    }
}

SEPARATE static void check(void) {
    int i = 0;
    for (struct file *file = files, *next; file; file = next, i++) {
        next = file->next;
        expect("inode", i, file->inode);
        expect("mask", set_of(i), file->mask);
        free(file);
    }
    expect("files", 16, i);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

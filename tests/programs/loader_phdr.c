/* dl_iterate_phdr and dladdr describe the program that runs: its name, its segments, its symbols. */
#include "check.h"
#include <dlfcn.h>
#include <link.h>

static int objects, found_self, named_self;

SEPARATE static int visit(struct dl_phdr_info *info, size_t size, void *data) {
    unsigned long me = (unsigned long)data;
    (void)size;
    objects++;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        unsigned long start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && me >= start && me < start + header->p_memsz) {
            found_self++;
            named_self += info->dlpi_name[0] == 0;
        }
    }
    return 0;
}

SEPARATE int exported(void) { return version(); }

int main(void) {
    Dl_info info;
    char self[4096];
    int before;
    dl_iterate_phdr(visit, (void *)visit);
    before = objects;
    objects = found_self = named_self = 0;
    update_here();
    dl_iterate_phdr(visit, (void *)visit);
    expect("objects", before, objects);
    expect("this program", 1, found_self);
    expect("is the main program", 1, named_self);
    expect_true("dladdr", dladdr((void *)exported, &info));
    expect_text("symbol", "exported", info.dli_sname);
    expect_pointer("address of the symbol", (void *)exported, info.dli_saddr);
    expect_true("dladdr of a library function", dladdr((void *)&fopen, &info));
    expect_true("its file", info.dli_fname && strstr(info.dli_fname, "libc"));
    struct link_map *map = NULL;
    Dl_info again;
    expect_true("dladdr1", dladdr1((void *)exported, &again, (void **)&map, RTLD_DL_LINKMAP));
    expect_true("link map", map && map->l_ld && map->l_prev == NULL);
    expect_pointer("dynamic section", _DYNAMIC, map ? map->l_ld : NULL);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    expect_true("readlink", length > 0);
    return finish();
}

/* Enough memory for pages to be made ahead of the copy: huge ones where all of one were there, and no more of them than before. */
#include "check.h"
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 24 * 512, GAP = 3 * 512 + 17 };

static int doubled(int x) { return 2 * x; }

/* A word of each page tells its number, another points into the program; one page in the middle is never touched. */
struct page {
    int (*function)(int);
    size_t number;
    char rest[PAGE - 16];
};

static struct page *pages;

SEPARATE static void check_pages(const char *when) {
    long wrong = 0;
    for (size_t i = 0; i < PAGES; i++)
        if (i != GAP)
            wrong += pages[i].number != i || pages[i].function != doubled || pages[i].rest[PAGE - 17] != (char)i;
    expect(when, 0, wrong);
}

/* Resident pages of this process, by /proc/self/statm. */
SEPARATE static long resident(void) {
    char line[128] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    if (read(file, line, sizeof line - 1) < 0)
        return -1;
    close(file);
    return strtol(strchr(line, ' '), NULL, 10);
}

int main(void) {
    pages = mmap(NULL, sizeof *pages * PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < PAGES; i++) {
        if (i == GAP)
            continue;
        pages[i].function = doubled;
        pages[i].number = i;
        pages[i].rest[PAGE - 17] = (char)i;
    }
    long before = resident();
    update_here();
    long after = resident();
    check_pages("pages that are wrong");
    expect("a call through a page", 42, pages[PAGES - 1].function(21));
    /* Pages of files are counted, too, and come back only when they are used. */
    if (after > before + before / 50)
        expect("resident pages", before, after);
    madvise(&pages[512], 700 * sizeof *pages, MADV_DONTNEED);
    expect("a page given back", 0, (long long)pages[600].number);
    for (size_t i = 512; i < 512 + 700; i++) {
        pages[i].function = doubled;
        pages[i].number = i;
        pages[i].rest[PAGE - 17] = (char)i;
    }
    check_pages("pages that are wrong after some were given back");
    return finish();
}

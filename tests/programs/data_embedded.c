/* A structure that changes lies in others by value: once, twice, in an array; pointers lead to the inner ones. */
#include "data.h"

struct counter {
    unsigned hits;
#if VERSION >= 2
    unsigned misses;
    double rate;
#endif
};
struct page {
    char title[12];
    struct counter reads, writes;
    struct counter by_hour[4];
    struct page *next;
};
static struct page *pages;
static struct counter *busiest, *third_hour, total;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (unsigned i = 3; i-- > 0;) {
        struct page *page = calloc(1, sizeof *page);
        snprintf(page->title, sizeof page->title, "page %u", i % 10);
        page->reads.hits = i * 10;
        page->writes.hits = i * 10 + 1;
        for (unsigned hour = 0; hour < 4; hour++)
            page->by_hour[hour].hits = i * 100 + hour;
        page->next = pages;
        pages = page;
    }
    busiest = &pages->next->writes;
    third_hour = &pages->next->next->by_hour[2];
    total.hits = 77;
}

SEPARATE static void expect_counter(const char *what, unsigned hits, struct counter *counter) {
    expect(what, hits, counter->hits);
#if VERSION >= 2
    expect("misses", 0, counter->misses);
    expect_double("rate", 0, counter->rate);
    counter->rate = 1;
#endif
}

SEPARATE static void check(void) {
    unsigned i = 0;
    char title[12];
    expect_pointer("busiest", &pages->next->writes, busiest);
    expect_pointer("third hour", &pages->next->next->by_hour[2], third_hour);
    expect_counter("total", 77, &total);
    for (struct page *page = pages, *next; page; page = next, i++) {
        next = page->next;
        snprintf(title, sizeof title, "page %u", i % 10);
        expect_text("title", title, page->title);
        expect_counter("reads", i * 10, &page->reads);
        expect_counter("writes", i * 10 + 1, &page->writes);
        for (unsigned hour = 0; hour < 4; hour++)
            expect_counter("hour", i * 100 + hour, &page->by_hour[hour]);
        free(page);
    }
    expect("pages", 3, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* One question each about data and pairs: what a person answers with the lines that `dsu plan` prints. */
#include "check.h"

#if CASE == 1 /* a function with another name, pointed to */
#if VERSION == 1
SEPARATE static long handle(long n) { return n + 1; }
static long (*volatile handler)(long) = NULL;
SEPARATE static void make(void) { handler = handle; }
#else
SEPARATE static long treat_it_otherwise(long n) {
    if (n > 100)
        return 0;
    return n * 2 - 3;
}
static long (*volatile handler)(long) = NULL;
SEPARATE static void make(void) { handler = treat_it_otherwise; }
#endif
SEPARATE static void check(void) { expect("what it makes of 4", 5, handler(4)); }
#elif CASE == 2 /* a variable with another name, pointed to */
#if VERSION == 1
static long total = 3;
static long *volatile sums = NULL;
SEPARATE static void make(void) {
    total = 7;
    sums = &total;
}
#else
static long spare[4], sum_of_all = 9;
static long *volatile sums = NULL;
SEPARATE static void make(void) {
    sum_of_all = 7 + spare[1];
    sums = &sum_of_all;
}
#endif
SEPARATE static void check(void) { expect("total", 7, *sums); }
#elif CASE == 3 /* a constructor that is new */
static long prepared;
#if VERSION >= 2
__attribute__((constructor)) static void prepare(void) { prepared = 1; }
#endif
SEPARATE static void make(void) { prepared = 1; }
SEPARATE static void check(void) { expect("prepared", 1, prepared); }
#elif CASE == 4 /* a number that no longer fits, an array that is cut */
static struct counts {
#if VERSION == 1
    long all;
    long each[6];
#else
    int all;
    int each[4];
#endif
} counts;
SEPARATE static void make(void) {
    counts.all = 5;
    for (unsigned i = 0; i < sizeof counts.each / sizeof *counts.each; i++)
        counts.each[i] = i + 1;
}
SEPARATE static void check(void) { expect("third", 3, counts.each[2]); }
#elif CASE == 5 /* a field that means something else */
struct job {
    long id;
#if VERSION == 1
    char *state;
#else
    long state;
#endif
};
static struct job *job;
SEPARATE static void make(void) {
    job = calloc(1, sizeof *job);
    job->id = 4;
#if VERSION == 1
    job->state = "busy";
#else
    job->state = 8;
#endif
}
SEPARATE static void check(void) {
#if VERSION >= 2
    expect("state", 8, job->state);
#endif
    expect("id", 4, job->id);
}
#elif CASE == 6 /* a table keyed by addresses */
static long red = 1, blue = 2;
static const void *places[8];
SEPARATE static unsigned place_of(const void *object) { return (unsigned)((uintptr_t)object >> 3) % 8; }
SEPARATE static void fill(int again) {
    memset(places, 0, sizeof places);
    for (int i = 0; i < 2; i++) {
        const void *own = i ? &red : &blue;
        unsigned at = place_of(own);
        while (places[at])
            at = (at + 1) % 8;
        places[at] = own;
    }
    (void)again;
}
SEPARATE static void make(void) { fill(0); }
SEPARATE static void check(void) {
    unsigned at = place_of(&red);
    for (int i = 0; i < 8 && places[at] != &red; i++)
        at = (at + 1) % 8;
    expect_pointer("red", &red, places[at]);
    expect("colours", 3, red + blue);
}
#elif CASE == 7 /* a pointer that only start-up code of the new program would set */
#if VERSION == 1
static long number = 4;
SEPARATE static void make(void) { number++; }
SEPARATE static void check(void) { expect("number", 5, number); }
#else
static long number = 4;
static long *kept;
SEPARATE static void make(void) {
    number++;
    kept = &number;
}
SEPARATE static void check(void) { expect("number", 5, kept ? *kept : number); }
#endif
#endif

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* Members with qualifiers and of rarer kinds: atomic, const, volatile, long double, complex, 128 bits, pointers to pointers. */
#include "data.h"
#include <complex.h>
#include <stdbool.h>

struct rare {
    _Atomic int atomic;
#if VERSION >= 2
    long inserted;
#endif
    volatile bool flag;
    const char *const name;
    long double precise;
#if VERSION >= 2
    char more;
#endif
    double complex number;
    __int128 wide;
    struct rare **self;
    int (*const *function)(int);
};
SEPARATE static int next_number(int x) { return x + version(); }
static int (*const functions[2])(int) = {NULL, next_number};
static struct rare *rares[3];

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 3; i++) {
        struct rare rare = {
            .atomic = i,
            .flag = i % 2,
            .name = "rare",
            .precise = 1.0L / 3 * i,
            .number = i + 2.5 * I,
            .wide = ((__int128)i << 100) + 7,
            .self = &rares[i],
            .function = &functions[1],
        };
        rares[i] = calloc(1, sizeof *rares[i]);
        memcpy(rares[i], &rare, sizeof rare);
    }
}

SEPARATE static void check(void) {
    for (int i = 0; i < 3; i++) {
        struct rare *rare = rares[i];
        expect("atomic", i, rare->atomic);
        expect("flag", i % 2, rare->flag);
        expect_text("name", "rare", rare->name);
        expect_true("long double", rare->precise == 1.0L / 3 * i);
        expect_true("complex", rare->number == i + 2.5 * I);
        expect_true("128 bits", rare->wide == ((__int128)i << 100) + 7);
        expect_pointer("itself", &rares[i], rare->self);
        expect("function", 5 + version(), (*rare->function)(5));
#if VERSION >= 2
        expect("inserted", 0, rare->inserted + rare->more);
#endif
        free(rare);
    }
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

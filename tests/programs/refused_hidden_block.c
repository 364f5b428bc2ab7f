/* Objects that change, to which only numbers lead: nothing typed reaches their blocks. */
#include "data.h"

struct secret {
    struct secret *self;
    const char *title;
    long number;
#if VERSION >= 2
    long more[5];
#endif
};
static struct secret *known;
static uintptr_t hidden[2];

SEPARATE static struct secret *new_secret(long number) {
    struct secret *secret = calloc(1, sizeof *secret);
    secret->self = secret;
    secret->title = "a secret";
    secret->number = number;
    return secret;
}

SEPARATE static void make(void) {
    known = new_secret(0);
    for (int i = 0; i < 2; i++)
        hidden[i] = (uintptr_t)new_secret(i + 1);
}

SEPARATE static void check(void) {
    expect("known", 0, known->number);
    for (int i = 0; i < 2; i++)
        expect("hidden", i + 1, ((struct secret *)hidden[i])->number);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

/* Numbers change their types, with all values that both types have: wider, of another sign, floating, Boolean. */
#include "data.h"
#include <limits.h>
#include <stdbool.h>

enum { SAMPLES = 4 };
struct sample {
#if VERSION < 2
    int wider;
    unsigned real;
    float precise;
    signed char sign;
    int flag;
    unsigned short small;
    long counted;
#else
    long wider;
    double real;
    double precise;
    unsigned char sign;
    bool flag;
    int small;
    unsigned long counted;
#endif
    struct sample *next;
};
static struct sample *samples;
static const int wider[SAMPLES] = {INT_MIN, -1, 0, INT_MAX};
static const unsigned real[SAMPLES] = {0, 1, 4294967295u, 65536};
static const float precise[SAMPLES] = {0.1f, -0.0f, 3e38f, 1.5f};
static const char sign[SAMPLES] = {0, 1, 127, 64};
static const int flag[SAMPLES] = {0, 1, 1, 0};
static const unsigned short small[SAMPLES] = {0, 65535, 32768, 1};
static const long counted[SAMPLES] = {0, 1, LONG_MAX, 1L << 40};

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = SAMPLES - 1; i >= 0; i--) {
        struct sample *sample = calloc(1, sizeof *sample);
        sample->wider = wider[i];
        sample->real = real[i];
        sample->precise = precise[i];
        sample->sign = sign[i];
        sample->flag = flag[i];
        sample->small = small[i];
        sample->counted = counted[i];
        sample->next = samples;
        samples = sample;
    }
}

SEPARATE static void check(void) {
    int i = 0;
    for (struct sample *sample = samples, *next; sample; sample = next, i++) {
        next = sample->next;
        expect("int to long", wider[i], sample->wider);
        expect_double("unsigned to double", real[i], sample->real);
        expect_double("float to double", precise[i], sample->precise);
        expect("signed to unsigned char", sign[i], sample->sign);
        expect("int to bool", flag[i], sample->flag);
        expect("unsigned short to int", small[i], sample->small);
        expect_true("long to unsigned long", (unsigned long)counted[i] == (unsigned long)sample->counted);
        free(sample);
    }
    expect("samples", SAMPLES, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

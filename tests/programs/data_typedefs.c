/* Chains of typedefs, anonymous structures and unions within, a structure known by its typedef only, a member that moves into one. */
#include "data.h"

typedef unsigned id_base_t;
#if VERSION < 2
typedef id_base_t id_t_;
#else
typedef unsigned long wide_t;
typedef wide_t id_t_;
#endif
typedef struct {
    id_t_ id;
    union {
        int as_int;
        unsigned as_unsigned;
    };
    struct {
        short x, y;
#if VERSION >= 2
        short z;
#endif
    };
    struct {
        char text[6];
    } named;
} shape_t;
typedef shape_t *shape_ref;
typedef struct holder {
    const shape_ref shape;
    volatile id_t_ count;
    struct holder *next;
} holder_t;
static holder_t *holders;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (unsigned i = 0; i < 5; i++) {
        shape_t *shape = calloc(1, sizeof *shape);
        shape->id = i + 7;
        shape->as_int = -(int)i - 1;
        shape->x = (short)i;
        shape->y = (short)(i * 2);
        strcpy(shape->named.text, "shape");
        holder_t init = {shape, i, holders};
        holder_t *holder = malloc(sizeof *holder);
        memcpy(holder, &init, sizeof init);
        holders = holder;
    }
}

SEPARATE static void check(void) {
    unsigned i = 5;
    for (holder_t *holder = holders, *next; holder; holder = next) {
        shape_t *shape = holder->shape;
        next = holder->next;
        i--;
        expect("id", i + 7, (long long)shape->id);
        expect("union", -(int)i - 1, shape->as_int);
        expect("x", i, shape->x);
        expect("y", i * 2, shape->y);
#if VERSION >= 2
        expect("z", 0, shape->z);
#endif
        expect_text("text", "shape", shape->named.text);
        expect("count", i, (long long)holder->count);
        free(shape);
        free(holder);
    }
    expect("holders", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

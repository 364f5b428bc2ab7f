/* A structure and an enumeration have other names, and change besides. */
#include "data.h"

#if VERSION < 2
enum mood { GLAD, SAD };
struct customer {
    enum mood mood;
    int number;
    struct customer *next;
};
typedef struct customer person;
#else
enum temper { SAD, GLAD, ANGRY };
struct client {
    long number;
    long since;
    enum temper mood;
    struct client *next;
};
typedef struct client person;
#endif
static person *people;
static person first;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 6; i++) {
        person *made = calloc(1, sizeof *made);
        made->number = i;
        made->mood = i % 2 ? GLAD : SAD;
        made->next = people;
        people = made;
    }
    first.number = 100;
    first.mood = GLAD;
    first.next = people;
}

SEPARATE static void check(void) {
    int i = 6;
    expect("the first", 100, first.number);
    expect("its mood", GLAD, first.mood);
    expect_pointer("the one behind it", people, first.next);
    for (person *one = people, *next; one; one = next) {
        next = one->next;
        i--;
        expect("number", i, one->number);
        expect("mood", i % 2 ? GLAD : SAD, one->mood);
#if VERSION >= 2
        expect("since", 0, one->since);
#endif
        free(one);
    }
    expect("people", 0, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

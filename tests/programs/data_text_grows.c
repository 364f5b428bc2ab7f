/* An array of characters within a structure grows; on the way back the spec lets texts be cut. */
#include "data.h"

enum { PEOPLE = 6 };
#if VERSION < 2
enum { NAME = 16 };
#else
enum { NAME = 64 };
#endif
struct person {
    int age;
    char name[NAME];
    struct person *next;
};
static struct person *people;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = PEOPLE - 1; i >= 0; i--) {
        struct person *person = malloc(sizeof *person);
        memset(person, 0, sizeof *person);
        person->age = 20 + i;
        memset(person->name, 'a' + i, (size_t)i * 3);
        person->next = people;
        people = person;
    }
}

SEPARATE static void check(void) {
    char name[64];
    int i = 0;
    for (struct person *person = people, *next; person; person = next, i++) {
        next = person->next;
        memset(name, 0, sizeof name);
        memset(name, 'a' + i, (size_t)i * 3);
        expect("age", 20 + i, person->age);
        expect("name with all that follows it", 0, memcmp(name, person->name, NAME));
        memset(person->name, 'z', NAME);
        free(person);
    }
    expect("people", PEOPLE, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

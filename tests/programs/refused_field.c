/* A new field whose value nothing proves. The updates that tests/data.rs asks for without an answer, or with a wrong one, are refused. */
#include "data.h"

enum state { IDLE, BUSY, DONE = 4 };
struct account {
    int number;
    int divisor;
    enum state state;
#if VERSION >= 2
    int limit;
#endif
    unsigned char small;
    struct account *next;
};
static struct account *accounts;

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = 0; i < 3; i++) {
        struct account *account = malloc(sizeof *account);
        *account = (struct account){.number = 2000000000 - i, .divisor = i, .state = BUSY, .small = 200, .next = accounts};
#if VERSION >= 2
        account->limit = i;
#endif
        accounts = account;
    }
}

SEPARATE static void check(void) {
    int i = 3;
    for (struct account *account = accounts; account; account = account->next) {
        i--;
        expect("number", 2000000000 - i, account->number);
        expect("divisor", i, account->divisor);
    }
    expect("accounts", 0, i);
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

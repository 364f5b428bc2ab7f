/* Nothing but the wait: what the refusals by kind of build start from. */
#include "check.h"

#ifdef GROWN
/* A new build that is larger than what lies behind the old one leaves room for. */
char grown[GROWN];
#endif

int main(void) {
    update_here();
    return finish();
}

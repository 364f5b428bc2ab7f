/* Nothing but the wait: what the refusals by kind of build start from. */
#include "check.h"

int main(void) {
    update_here();
    return finish();
}

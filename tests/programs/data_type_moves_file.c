/* A structure, its list and its functions move from one source file to the other, and it changes. */
#include "data.h"
#include "data_type_moves_file.h"

#if VERSION < 2
#include "data_type_moves_file_list.h"
#endif

SEPARATE void expect_of_list(const char *what, long long expected, long long found) { expect(what, expected, found); }

int main(void) {
    make_list();
    update_here();
    check_list();
    use_heap();
    return finish();
}

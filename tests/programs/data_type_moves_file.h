/* What both files of data_type_moves_file.c know. */
#include <stdlib.h>

void make_list(void);
void check_list(void);
void expect_of_list(const char *what, long long expected, long long found);

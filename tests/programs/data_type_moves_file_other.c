/* The other file of data_type_moves_file.c. */
#include "data_type_moves_file.h"
#define SEPARATE __attribute__((noipa, unused))

#if VERSION >= 2
#include "data_type_moves_file_list.h"
#else
int place_holder;
#endif

/* The other file of same_statics.c. */
#if VERSION >= 2
long moved_by_this[9] = {1};
#endif
static int state = 2;

void other_set(int value) { state = value; }
int other_get(void) { return state; }
int *other_address(void) { return &state; }

/* What main and the sorts know of each other. */

/* The name of the sort. */
extern const char version[];

/* Sorts `count` values, the lowest first. */
void sort(int *values, int count);

/* Every step of a sort's inner loop passes here. */
void step(void);

/* Told at every round: how many values are where they belong, out of how many. */
void progress(int done, int count);

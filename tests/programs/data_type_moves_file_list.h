/* The list, as a part of one file or of the other. */
struct moved {
    int number;
#if VERSION >= 2
    long extra[4];
#endif
    struct moved *next;
};
static struct moved *moved_list;

SEPARATE void make_list(void) {
    for (int i = 0; i < 5; i++) {
        struct moved *moved = calloc(1, sizeof *moved);
        moved->number = i;
        moved->next = moved_list;
        moved_list = moved;
    }
}

SEPARATE void check_list(void) {
    int i = 5;
    for (struct moved *moved = moved_list, *next; moved; moved = next) {
        next = moved->next;
        expect_of_list("number", --i, moved->number);
#if VERSION >= 2
        expect_of_list("extra", 0, moved->extra[0] | moved->extra[3]);
#endif
        free(moved);
    }
    expect_of_list("list", 0, i);
}

/* The library of library_linked.c. */
int library_counter = 1;
static int (*registered)(int);
static const char *registered_name;

void library_register(int (*callback)(int), const char *name) {
    registered = callback;
    registered_name = name;
}
int library_fire(int x) {
    library_counter++;
    return registered(x);
}
const char *library_name(void) { return registered_name; }
int *library_counter_address(void) { return &library_counter; }

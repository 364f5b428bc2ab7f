/* The library of dlopen_lazy.c. */
extern int program_value;
int program_function(int x);

static int (*stored)(int);
void library_set_callback(int (*callback)(int)) { stored = callback; }
int library_call_back(int x) { return stored(x); }
int library_calls_program(int x) { return program_function(x) + program_value; }
int *library_address_of_program_value(void) { return &program_value; }

/* A 32-bit program without any library, for the refusal of its kind: it answers `ok` to a line, and ends. */
#if VERSION >= 2
int moved[10] = {1};
#endif

static int call(int number, int a, const void *b, int c) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void) {
    char byte = 0;
    call(4, 1, "ready\n", 6);
    while (call(3, 0, &byte, 1) == 1 && byte != '\n')
        ;
    call(4, 1, "ok\n", 3);
    call(1, 0, 0, 0);
}

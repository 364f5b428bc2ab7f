/* Buffered streams: what was not flushed is written once, what was read ahead is not read again. */
#include "check.h"

int main(void) {
    char text[64] = "", own_buffer[512];
    FILE *out = fopen("out", "we"), *in = fopen("in", "w+e"), *own = fopen("own", "we"), *memory;
    char *memory_text = NULL;
    size_t memory_size = 0;
    must("fopen", out && in && own ? 0 : -1);
    setvbuf(own, own_buffer, _IOFBF, sizeof own_buffer);
    fputs("first line\nsecond line\n", in);
    rewind(in);
    must("fgets", fgets(text, sizeof text, in) ? 0 : -1);
    fprintf(out, "before %d\n", 1);
    fputs("own before\n", own);
    memory = open_memstream(&memory_text, &memory_size);
    fputs("memory before ", memory);
    ungetc('X', in);
    update_here();
    expect("ungetc", 'X', fgetc(in));
    must("fgets", fgets(text, sizeof text, in) ? 0 : -1);
    expect_text("read ahead", "second line\n", text);
    fprintf(out, "after %d\n", 2);
    fputs("own after\n", own);
    fputs("and after", memory);
    expect("fclose", 0, fclose(out));
    expect("fclose", 0, fclose(own));
    expect("fclose", 0, fclose(memory));
    expect_text("memory stream", "memory before and after", memory_text);
    free(memory_text);
    fclose(in);
    int fd = (int)must("open", open("out", O_RDONLY));
    memset(text, 0, sizeof text);
    expect("length", 17, read(fd, text, sizeof text));
    expect_text("file", "before 1\nafter 2\n", text);
    fd = (int)must("open", open("own", O_RDONLY));
    memset(text, 0, sizeof text);
    expect("length", 21, read(fd, text, sizeof text));
    expect_text("file with its own buffer", "own before\nown after\n", text);
    return finish();
}

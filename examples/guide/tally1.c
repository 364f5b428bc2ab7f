// tally counts the words that it reads from a named pipe, one in a line. Version 1.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct word {
    struct word *next;
    unsigned count;
    char text[20];
};

static struct word *words;
static FILE *input;

static struct word *find(const char *text) {
    struct word *word = words;
    while (word && strcmp(word->text, text) != 0)
        word = word->next;
    return word;
}

static struct word *add(const char *text) {
    struct word *word = calloc(1, sizeof *word);
    if (!word)
        abort();
    snprintf(word->text, sizeof word->text, "%.19s", text);
    word->next = words;
    words = word;
    return word;
}

static void count(const char *text) {
    struct word *word = find(text);
    if (!word)
        word = add(text);
    word->count++;
    printf("%s: %u\n", word->text, word->count);
}

int main(int argc, char **argv) {
    char line[20];
    input = argc == 2 ? fopen(argv[1], "r+") : NULL;
    if (!input)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("tally 1 is process %d\n", getpid());
    while (fgets(line, sizeof line, input)) {
        line[strcspn(line, "\n")] = '\0';
        count(line);
    }
    return 0;
}

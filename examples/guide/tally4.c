// tally counts the words that it reads from a named pipe, one in a line. Version 4 says how many lines there were.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct word {
    struct word *next;
    unsigned long count;
    unsigned long first;
    char text[20];
};

static struct word *words;
static unsigned long lines;
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
    word->first = lines;
    word->next = words;
    words = word;
    return word;
}

static void count(const char *text) {
    lines++;
    struct word *word = find(text);
    int is_new = !word;
    if (is_new)
        word = add(text);
    word->count++;
    printf("%s: %lu of %lu%s", word->text, word->count, lines, is_new ? ", a new word\n" : "");
    if (!is_new)
        printf(", first in line %lu\n", word->first);
}

int main(int argc, char **argv) {
    char line[20];
    unsigned long number = 0;
    input = argc == 2 ? fopen(argv[1], "r+") : NULL;
    if (!input)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("tally 4 is process %d\n", getpid());
    while (fgets(line, sizeof line, input)) {
        line[strcspn(line, "\n")] = '\0';
        count(line);
        printf("%lu so far\n", ++number);
    }
    return 0;
}

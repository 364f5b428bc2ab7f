/* Memory in large blocks that differ in what may become of their pages; notices any byte that is not its own. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PIECE = 2 << 20 };

static struct block {
  size_t length;
  int advice;   /* for madvise, or -1 */
  size_t leave; /* of each piece, this page is never touched; 0: every page is */
  char *start;
} blocks[] = {
    {64 << 20, -1, 0, NULL},
    {16 << 20, -1, 511, NULL},
    {16 << 20, MADV_NOHUGEPAGE, 0, NULL},
    {16 << 20, MADV_HUGEPAGE, 0, NULL},
    {16 << 20, MADV_DONTDUMP, 0, NULL},
};
enum { COUNT = sizeof blocks / sizeof *blocks };

static int is_left(const struct block *b, size_t page) { return b->leave && page % (PIECE / PAGE) == b->leave; }

static uint64_t word(int block, size_t page) { return (page + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)block; }

/* Every page has its number in its first and last word. */
static uint64_t *words_of(const struct block *b, size_t page, int last) {
  return (uint64_t *)(b->start + page * PAGE + (last ? PAGE - 8 : 0));
}

static void make(int i) {
  struct block *b = &blocks[i];
  b->start = mmap(NULL, b->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (b->start == MAP_FAILED)
    exit(2);
  if (b->advice >= 0)
    madvise(b->start, b->length, b->advice);
  for (size_t page = 0; page < b->length / PAGE; page++)
    if (!is_left(b, page))
      *words_of(b, page, 0) = *words_of(b, page, 1) = word(i, page);
}

/* Reads no page that it never touched: reading would make one. */
static int wrong(void) {
  int count = 0;
  for (int i = 0; i < COUNT; i++)
    for (size_t page = 0; page < blocks[i].length / PAGE; page++)
      if (!is_left(&blocks[i], page))
        count += *words_of(&blocks[i], page, 0) != word(i, page) || *words_of(&blocks[i], page, 1) != word(i, page);
  return count;
}

/* A child changes pages of its copy; some pages are given back and made again. */
static int stir(void) {
  pid_t child = fork();
  if (child == 0) {
    for (size_t at = 0; at < blocks[0].length; at += 16 * PAGE)
      blocks[0].start[at]++;
    _exit(wrong() == (int)(blocks[0].length / (16 * PAGE)) ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    return 1;
  size_t from = 3 * PIECE / PAGE + 7, to = 9 * PIECE / PAGE - 5;
  madvise(blocks[0].start + from * PAGE, (to - from) * PAGE, MADV_DONTNEED);
  int bad = 0;
  for (size_t page = from; page < to; page++) {
    bad += *words_of(&blocks[0], page, 0) != 0;
    *words_of(&blocks[0], page, 0) = *words_of(&blocks[0], page, 1) = word(0, page);
  }
  return bad;
}

int main(void) {
  char line[64];
  for (int i = 0; i < COUNT; i++)
    make(i);
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == 'c')
      printf("wrong %d\n", wrong());
    else if (line[0] == 's')
      printf("stirred %d\n", stir());
    else
      for (int i = 0; i < COUNT; i++)
        printf("%lx%c", (unsigned long)blocks[i].start, i + 1 < COUNT ? ' ' : '\n');
    fflush(stdout);
  }
  return 0;
}

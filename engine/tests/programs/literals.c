/* A variable that points to a literal which each version has in other words (-DVERSION=1, 2). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if VERSION == 1
#define MOTTO "made by the first version"
#else
#define MOTTO "made by a later version"
#endif

static const char *motto = "";

static int __attribute__((noinline)) read_line(char *line, int size) {
  int length = 0;
  while (length < size - 1) {
    char byte;
    if (read(0, &byte, 1) != 1)
      return -1;
    if (byte == '\n')
      break;
    line[length++] = byte;
  }
  line[length] = 0;
  return length;
}

static void __attribute__((noinline)) renew(void) { motto = MOTTO; }

int main(void) {
  char line[100];
  renew();
  while (read_line(line, sizeof line) >= 0) {
    if (!strcmp(line, "renew"))
      renew();
    printf("%s\n", motto);
    fflush(stdout);
  }
  return 0;
}

/* A recursion, each frame with a pointer into the one above; -DVERSION=2 counts the frames that it leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long left;

static int __attribute__((noinline)) bottom(void) {
  char byte;
  if (printf("at the bottom\n") < 0 || fflush(stdout))
    return 0;
  while (read(0, &byte, 1) == 1 && byte != '\n')
    ;
  return 1;
}

long __attribute__((noinline)) down(long n, long *above) {
  long own = 3 * n;
  if (n == 0)
    return bottom() ? 0 : 1000000;
  long below = down(n - 1, &own);
#if VERSION == 2
  left++;
#endif
  return below + own + (*above == 3 * (n + 1) ? 0 : 1000000);
}

int main(int argc, char **argv) {
  long depth = argc > 1 ? atol(argv[1]) : 40;
  long top = 3 * (depth + 1);
  long sum = down(depth, &top);
  printf("version %d sum %ld left %ld\n", VERSION, sum, left);
  return 0;
}

/* A parent and two workers that it forked, each inside a function that changes. A line "N TEXT" goes to worker N, which answers; "end" ends
 * all, and the parent tells how its workers ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static long served;

static void __attribute__((noinline)) worker(int number, int input) {
  char byte;
  while (read(input, &byte, 1) == 1 && byte != 'e') {
    served++;
#if VERSION == 2
    served += 100;
#endif
    dprintf(1, "worker %d version %d served %ld\n", number, VERSION, served);
  }
}

int main(void) {
  int pipes[2][2], pids[2];
  for (int number = 0; number < 2; number++) {
    if (pipe(pipes[number]) || (pids[number] = fork()) < 0)
      return 1;
    if (pids[number] == 0) {
      /* Workers end with their parent, however that ends. */
      for (int other = 0; other <= number; other++)
        close(pipes[other][1]);
      worker(number, pipes[number][0]);
      _exit(7 + number);
    }
  }
  dprintf(1, "%d %d\n", pids[0], pids[1]);
  char line[16];
  while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n"))
    if (write(pipes[line[0] == '1'][1], line + 2, 1) != 1)
      return 1;
  for (int number = 0; number < 2; number++) {
    int status;
    if (write(pipes[number][1], "e", 1) != 1 || waitpid(pids[number], &status, 0) != pids[number])
      return 1;
    dprintf(1, "worker %d ended with %d\n", number, WEXITSTATUS(status));
  }
  return 0;
}

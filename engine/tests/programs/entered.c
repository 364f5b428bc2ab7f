/* A function below others is entered anew, with arguments that a spec makes: its caller keeps what it has in registers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct peer {
  long spare;
  int descriptor;
  short kind;
  struct peer *next;
  char name[16];
};

static struct peer *peers;
static long total;

static int __attribute__((noinline)) line(int from, char *text, int room) {
  int length = 0;
  char byte;
  while (read(from, &byte, 1) == 1 && byte != '\n')
    if (length < room - 1)
      text[length++] = byte;
  text[length] = 0;
  return length > 0;
}

#if VERSION == 1

static long __attribute__((noipa)) session(struct peer *peer, long seed, short kind) {
  char text[64];
  long count = 0;
  struct peer *other = peer->next;
  while (line(peer->descriptor, text, sizeof text) && strcmp(text, "end")) {
    count += seed;
    printf("version 1 %s seed %ld kind %d count %ld other %s\n", peer->name, seed, kind, count, other->name);
    fflush(stdout);
  }
  return count;
}

#elif VERSION == 2

/* Other parameters in another order, another algorithm. */
static long __attribute__((noipa)) turns(long seed, struct peer *other, unsigned char kind, long count, int descriptor, const char *says) {
  volatile long room[40];
  char text[64];
  room[3] = count;
  printf("version 2 %s begins at %ld seed %ld kind %d: %s\n", other->name, count, seed, kind, says);
  fflush(stdout);
  while (line(descriptor, text, sizeof text) && strcmp(text, "end")) {
    room[3] += 1000 * seed;
    printf("version 2 %s count %ld\n", other->name, room[3]);
    fflush(stdout);
  }
  return room[3];
}

static const char greeting[] = "hello";

static long __attribute__((noipa)) session(struct peer *peer, long seed, short kind) {
  long got = turns(seed, peer->next, kind, 0, peer->descriptor, greeting);
#ifndef __OPTIMIZE__
  /* What no code reads again may be gone from a frame once an update has made frames anew. */
  if (!peer || peer->kind != kind)
    abort();
#endif
  return got;
}

#elif VERSION == 3

/* The same parameters under the same names. */
static long __attribute__((noipa)) session(struct peer *peer, long seed, short kind) {
  char text[64];
  printf("version 3 %s seed %ld kind %d\n", peer->name, seed, kind);
  fflush(stdout);
  while (line(peer->descriptor, text, sizeof text))
    if (!strcmp(text, "end"))
      break;
  return 5;
}

#else

static double __attribute__((noipa)) session(struct peer *peer, double seed) {
  char text[64];
  while (line(peer->descriptor, text, sizeof text))
    seed *= 2;
  return seed;
}

#endif

static struct peer *make(const char *name, struct peer *next) {
  struct peer *peer = calloc(1, sizeof *peer);
  strcpy(peer->name, name);
  peer->next = next;
  peer->kind = -3;
  return peer;
}

/* Keeps much in registers over the call. */
static long __attribute__((noinline)) serve(long a, long b, long c, struct peer *first) {
#if VERSION < 4
  long got = session(first, a, first->kind);
#else
  long got = session(first, a);
#endif
  total += got + a + b + c;
  printf("served %ld %ld %ld %s total %ld\n", a, b, c, first->name, total);
  fflush(stdout);
  return got;
}

int main(int count, char **arguments) {
  peers = make("one", make("two", NULL));
  while (serve(count, 20, 300, peers) && arguments[0])
    ;
  return 0;
}

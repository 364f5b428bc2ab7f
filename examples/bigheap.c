/*
 * A program with a large heap, to measure with: MIB mebibytes in blocks of 1 KiB, each filled from its number.
 * Says "ready" when they are there. SIGUSR1: compares every block and says so. SIGTERM: ends.
 * Built with -DVERSION=1 and -DVERSION=2: the second one compares from the end.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 1
#endif

enum { BLOCK_SIZE = 1024, WORDS = BLOCK_SIZE / sizeof(uint64_t) };

static uint64_t **blocks;
static size_t count;

static uint64_t word(size_t block, size_t at)
{
    return (block * WORDS + at + 1) * 0x9e3779b97f4a7c15u;
}

static int block_is_right(size_t block)
{
    for (size_t at = 0; at < WORDS; at++)
        if (blocks[block][at] != word(block, at))
            return 0;
    return 1;
}

/* Kept out of the loop that waits, so that the loop is the same in both versions. */
__attribute__((noinline)) static void compare(void)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !block_is_right(VERSION == 1 ? i : count - 1 - i);
    printf("bigheap %d: %zu blocks, %zu wrong\n", VERSION, count, wrong);
    fflush(stdout);
}

__attribute__((noinline)) static void fill(size_t mib)
{
    count = mib * 1024 * 1024 / BLOCK_SIZE;
    blocks = malloc(count * sizeof *blocks);
    for (size_t i = 0; blocks && i < count; i++) {
        blocks[i] = malloc(BLOCK_SIZE);
        if (!blocks[i]) {
            blocks = NULL;
            break;
        }
        for (size_t at = 0; at < WORDS; at++)
            blocks[i][at] = word(i, at);
    }
    if (!blocks) {
        fprintf(stderr, "bigheap: no memory for %zu MiB\n", mib);
        exit(1);
    }
    printf("ready\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    sigset_t signals;
    if (argc != 2 || atol(argv[1]) < 1) {
        fprintf(stderr, "usage: bigheap MIB\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    fill(atol(argv[1]));
    for (;;) {
        int signal = sigwaitinfo(&signals, NULL);
        if (signal == SIGTERM)
            return 0;
        if (signal == SIGUSR1)
            compare();
    }
}

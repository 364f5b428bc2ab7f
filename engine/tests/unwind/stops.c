/* Stops itself, traced by its parent, at places that are hard to unwind from; argv[1] says which. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int sink;

static void traced(void) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(99);
}

__attribute__((noinline)) static void stop_here(void) {
    traced();
    raise(SIGSTOP);
    sink++;
}

__attribute__((noinline)) static int recurse(int depth) {
    char room[64];
    memset(room, depth, sizeof room);
    if (depth == 0) stop_here();
    else sink += recurse(depth - 1);
    return room[sink & 63];
}

static void on_signal(int number) {
    (void)number;
    stop_here();
    sink++;
}

__attribute__((noinline)) static void interrupted(void) {
    raise(SIGUSR1);
    sink++;
}

static void handle_on_other_stack(void) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    interrupted();
}

static int compare(const void *a, const void *b) {
    static int once;
    if (!once++) stop_here();
    return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static void sorter(void) {
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare);
    sink += numbers[0];
}

__attribute__((noinline)) static void sleeper(void) {
    struct timespec time = {.tv_sec = 1000};
    stop_here();
    nanosleep(&time, NULL);
    sink++;
}

static void *thread_body(void *argument) {
    recurse(3);
    return argument;
}

__attribute__((noinline)) static void threads(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, thread_body, NULL);
    pthread_join(thread, NULL);
}

/* What a single-stepping tracer sees: lazy binding, PLT stubs, libc, the vdso, a signal and its return. */
__attribute__((noinline)) static void walk(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    struct timespec now;
    char text[32];
    stop_here();
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%d", (int)now.tv_nsec);
    sigaction(SIGUSR2, &action, NULL);
    sink += (int)strlen(text);
    sink += abs(atoi(text));
    getpid();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "recursion")) recurse(40);
    else if (!strcmp(what, "signal")) handle_on_other_stack();
    else if (!strcmp(what, "qsort")) sorter();
    else if (!strcmp(what, "sleep")) sleeper();
    else if (!strcmp(what, "thread")) threads();
    else if (!strcmp(what, "walk")) walk();
    else return 2;
    return 0;
}

/* A function is split in two, and on the way back two become one: in the middle of a round, with a line of text half done. */
#include "check.h"

struct job {
    long id;
    char name[40];
};
static struct job the_job = {7, "job"};

SEPARATE static void wait_at(long round) {
    if (round == 1)
        update_here();
}
SEPARATE static void describe(char *line, const struct job *job, long round) {
    strcpy(line, job->name);
    line[strlen(line) + 1] = 0;
    line[strlen(line)] = (char)('0' + round);
}
SEPARATE static long count(const char *line) { return (long)strlen(line) + line[strlen(line) - 1]; }

#if VERSION == 1
SEPARATE static long session(const struct job *job, long rate) {
    long done = 0;
    char line[64];
    for (long round = 0; round < 3; round++) {
        describe(line, job, round);
        wait_at(round);
        done += rate * count(line);
    }
    return done;
}
#else
SEPARATE static long serve_one(const struct job *job, long rate, long round) {
    char line[64];
    describe(line, job, round);
    wait_at(round);
    return rate * count(line);
}
SEPARATE static long session(const struct job *job, long rate) {
    long done = 0;
    for (long round = 0; round < 3; round++)
        done += serve_one(job, rate, round);
    return done;
}
#endif

int main(void) {
    long done = session(&the_job, 5);
    expect("sum of all rounds", 5 * (3 * 4 + '0' + '1' + '2'), done);
    return finish();
}

/* Objects side by side in memory that the program maps itself: they keep their size, and what is in them moves. */
#include "data.h"
#include <sys/mman.h>

enum { OBJECTS = 1000 };
struct particle {
#if VERSION < 2
    int x, y;
    struct particle *nearest;
    char charge;
    int mass;
#else
    struct particle *nearest;
    unsigned mass;
    char charge;
    int y, x;
#endif
};
struct region {
    struct particle *particles;
    size_t used;
};
static struct region region;
static struct particle *probes[3];

SEPARATE static void make(void) {
    made_by = VERSION;
    region.particles = mmap(NULL, OBJECTS * sizeof *region.particles, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must("mmap", region.particles == MAP_FAILED ? -1 : 0);
    for (int i = 0; i < OBJECTS; i++) {
        struct particle *particle = &region.particles[region.used++];
        particle->x = i;
        particle->y = -i;
        particle->nearest = &region.particles[(i + 500) % OBJECTS];
        particle->charge = (char)(i % 100);
        particle->mass = i * 3;
    }
    for (int i = 0; i < 3; i++)
        probes[i] = &region.particles[i * 333];
}

SEPARATE static void check(void) {
    expect("used", OBJECTS, (long long)region.used);
    for (int i = 0; i < 3; i++)
        expect_pointer("probe", &region.particles[i * 333], probes[i]);
    for (int i = 0; i < OBJECTS; i++) {
        struct particle *particle = &region.particles[i];
        expect("x", i, particle->x);
        expect("y", -i, particle->y);
        expect_pointer("nearest", &region.particles[(i + 500) % OBJECTS], particle->nearest);
        expect("charge", i % 100, particle->charge);
        expect("mass", i * 3, particle->mass);
    }
    must("munmap", munmap(region.particles, OBJECTS * sizeof *region.particles));
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

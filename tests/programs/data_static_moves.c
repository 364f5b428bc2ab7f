/* Static variables move to another function, become global, and change their types on the way. */
#include "data.h"

#if VERSION < 2
SEPARATE static int lookup(int by) {
    static int hits = 1;
    return hits += by;
}
SEPARATE static int search(int by) {
    static int depth = 2;
    return depth += by;
}
static short total = 3;
SEPARATE static int add(int by) { return total = (short)(total + by); }
#else
long depth_of_all = 2;
SEPARATE static int lookup(int by) {
    static long grand_total = 3;
    return (int)(grand_total += by);
}
SEPARATE static int search(int by) {
    static long hits = 1;
    return (int)(hits += by);
}
SEPARATE static int add(int by) { return (int)(depth_of_all += by); }
#endif

SEPARATE static void make(void) {
    made_by = VERSION;
#if VERSION < 2
    lookup(10), search(20), add(30);
#else
    search(10), add(20), lookup(30);
#endif
}

SEPARATE static void check(void) {
#if VERSION < 2
    expect("hits", 11, lookup(0));
    expect("depth", 22, search(0));
    expect("total", 33, add(0));
#else
    expect("hits", 11, search(0));
    expect("depth", 22, add(0));
    expect("total", 33, lookup(0));
#endif
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}

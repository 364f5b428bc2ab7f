/* One question each about a frame: what a person answers with the lines that `dsu plan` prints. */
#include "check.h"

static struct {
    long active, done;
} stats;
static long sum;

SEPARATE static void put(long n) { sum += n; }
SEPARATE static void note(long n) { stats.done = n; }
SEPARATE static long get(long n) { return n + sum; }
SEPARATE static void fill(long *numbers) { numbers[0] += 1; }

#if CASE == 1 /* a store that never ran */
#if VERSION == 1
SEPARATE static long work(long n) {
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    stats.done = 0;
    update_here();
    return n + stats.done;
}
#endif
#elif CASE == 2 /* a call that never ran */
#if VERSION == 1
SEPARATE static long work(long n) {
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    note(0);
    update_here();
    return n + stats.done;
}
#endif
#elif CASE == 3 /* a call that would come twice */
#if VERSION == 1
SEPARATE static long work(long n) {
    note(n);
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    update_here();
    note(n);
    return n + stats.done - n;
}
#endif
#elif CASE == 4 /* a sum that would come twice */
#if VERSION == 1
SEPARATE static long work(long n) {
    stats.active += n;
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    update_here();
    stats.active += n;
    return stats.active - n;
}
#endif
#elif CASE == 5 /* a branch of which nothing is known */
#if VERSION == 1
SEPARATE static long work(long n) {
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    if (get(n) > 3) {
        update_here();
        stats.active = 1;
    }
    return n;
}
#endif
#elif CASE == 6 /* a local that only the new code has */
#if VERSION == 1
SEPARATE static long work(long n) {
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    long left = get(n) * 2;
    update_here();
    return left - n;
}
#endif
#elif CASE == 7 /* a local that was made in another way */
#if VERSION == 1
SEPARATE static long work(long n) {
    long twice = (get(n) | n) + n;
    update_here();
    return twice - n;
}
#else
SEPARATE static long work(long n) {
    long twice = get(n) * 2;
    update_here();
    put(twice);
    return twice - n;
}
#endif
#elif CASE == 8 /* a local that becomes static */
#if VERSION == 1
SEPARATE static long work(long n) {
    long calls = get(n);
    update_here();
    return calls;
}
#else
SEPARATE static long work(long n) {
    static long calls;
    calls = get(n);
    update_here();
    return calls;
}
#endif
#elif CASE == 9 /* an array with another name */
#if VERSION == 1
SEPARATE static long work(long n) {
    long numbers[4] = {n, 0, 0, 0};
    fill(numbers);
    update_here();
    fill(numbers);
    return numbers[0] - 2;
}
#else
SEPARATE static long work(long n) {
    long sorted[4] = {n, 0, 0, 0};
    fill(sorted);
    update_here();
    fill(sorted);
    fill(sorted);
    return sorted[0] - 3;
}
#endif
#elif CASE == 10 /* a call that became two */
#if VERSION == 1
SEPARATE static long work(long n) {
    put(n);
    update_here();
    return n;
}
#else
SEPARATE static long work(long n) {
    if (n > 100) {
        update_here();
        return 0;
    }
    if (n > 1)
        update_here();
    else
        update_here();
    return n;
}
#endif
#elif CASE == 11 /* a function with another name */
#if VERSION == 1
SEPARATE static long work_of_old(long n) {
    update_here();
    return n;
}
SEPARATE static long work(long n) { return work_of_old(n); }
#else
SEPARATE static long serve_all_of_them(long n) {
    long kept = n;
    put(0);
    update_here();
    put(0);
    return kept;
}
SEPARATE static long work(long n) {
    long kept = serve_all_of_them(n);
    put(0);
    return kept;
}
#endif
#elif CASE == 12 /* an enumeration with other numbers */
#if VERSION == 1
enum state { OFF, ON };
SEPARATE static long work(long n) {
    enum state state = n > 1 ? ON : OFF;
    update_here();
    return state == ON ? n : 0;
}
#else
enum state { ON, OFF };
SEPARATE static long work(long n) {
    enum state state = n > 1 ? ON : OFF;
    update_here();
    put(state);
    return state == ON ? n : -1;
}
#endif
#endif

int main(void) {
    long found = work(4);
    expect("what work makes of 4", 4, found);
    return finish();
}

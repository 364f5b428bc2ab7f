// Data of every shape around `struct item`, whose layout is said to change. Says where each item is (O).
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct link { struct link *next, *previous; };
struct item {
    struct item *next;
    int number;
    struct link link;
    char name[12];
};
struct tree { struct tree *left, *right, *up; struct item *item; int key; };
struct entry { struct entry *next; const char *key; struct item value; };
struct table { unsigned long size, used; struct entry **buckets; };
struct flexible { int count; struct item *items[]; };
struct trailing { long header[3]; int count; struct item items[]; };
struct base { struct item *first; int kind; };
struct derived { struct base base; char more[40]; struct item *second; };
union either { struct item *item; char *text; long number; };
struct holder { int tag; union either either; };
struct unrelated { struct unrelated *next; long numbers[6]; };
struct alike { struct alike *first; long number; struct alike *next, *previous; long more[2]; };
union tails { struct { struct alike *first; int flags; } one; struct { struct alike *first; long *flags; } two; };

static int quiet;
static struct item *made(struct item *item) {
    static int number;
    item->number = ++number;
    item->link.next = item->link.previous = &item->link;
    if (!quiet) dprintf(1, "O %lx\n", (long)item);
    return item;
}
static struct item *make(void) { return made(calloc(1, sizeof(struct item))); }

struct item *list;
struct tree *root;
struct table table;
struct item statics[3];
struct item **pointers;
struct item *array, *middle, *end;
struct flexible *flexible;
struct trailing *trailing;
struct base *bases[4];
struct holder holder;
void *untyped;
struct foreign *foreign;
struct link *links;
union tails tails;
struct item *ring;
struct item *stale, *wild, *small = (struct item *)42;
struct unrelated *others;
struct item *first_kind;
struct unrelated *second_kind;
char pool_memory[8 * sizeof(struct item) + 24];
struct item *pool_user[3];
struct item *off;
__thread struct item *own;
__thread struct item own_value;
char *text;

static void make_list(int count) {
    for (int i = 0; i < count; i++) {
        struct item *item = make();
        item->next = list;
        list = item;
    }
}

static struct tree *make_tree(int depth, struct tree *up) {
    if (!depth) return 0;
    struct tree *tree = malloc(sizeof *tree);
    *tree = (struct tree){.up = up, .item = make(), .key = depth};
    tree->left = make_tree(depth - 1, tree);
    tree->right = make_tree(depth - 1, tree);
    return tree;
}

static void make_table(unsigned long size, int count) {
    table.size = size;
    table.buckets = calloc(size, sizeof *table.buckets);
    for (int i = 0; i < count; i++) {
        struct entry *entry = malloc(sizeof *entry);
        memset(entry, 0, sizeof *entry);
        unsigned long bucket = i * 2654435761ul % size;
        entry->key = strdup("a key");
        made(&entry->value);
        entry->next = table.buckets[bucket];
        table.buckets[bucket] = entry;
    }
}

static pthread_barrier_t ready;
static void *thread(void *argument) {
    own = make();
    made(&own_value);
    own_value.next = make();
    pthread_barrier_wait(&ready);
    pause();
    return argument;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "list";
    int count = argc > 2 ? atoi(argv[2]) : 100;
    quiet = count > 50000;
    for (int i = 0; i < 3; i++) made(&statics[i]);
    statics[1].next = make();
    if (!strcmp(what, "list")) make_list(count);
    if (!strcmp(what, "tree")) root = make_tree(count, 0);
    if (!strcmp(what, "table")) make_table(count / 2 + 1, count);
    if (!strcmp(what, "ring")) {
        ring = make();
        ring->next = make();
        ring->next->next = ring;
        pointers = malloc(3 * sizeof *pointers);
        for (int i = 0; i < 3; i++) pointers[i] = ring;
    }
    if (!strcmp(what, "arrays")) {
        array = calloc(count, sizeof *array);
        for (int i = 0; i < count; i++) made(&array[i]);
        middle = &array[count / 2];
        end = &array[count];
        pointers = malloc(count * sizeof *pointers);
        for (int i = 0; i < count; i++) pointers[i] = i % 3 ? make() : &array[i];
        flexible = malloc(sizeof *flexible + 7 * sizeof flexible->items[0]);
        flexible->count = 7;
        for (int i = 0; i < 7; i++) flexible->items[i] = make();
        trailing = malloc(sizeof *trailing + 5 * sizeof trailing->items[0]);
        trailing->count = 5;
        memset(trailing->items, 0, 5 * sizeof trailing->items[0]);
        if (!quiet) dprintf(1, "T %lx\n", (long)trailing);
    }
    if (!strcmp(what, "bases")) {
        for (int i = 0; i < 4; i++) {
            struct derived *derived = calloc(1, sizeof *derived);
            memset(derived->more, 'm', sizeof derived->more);
            derived->base.first = make();
            derived->second = i ? 0 : derived->base.first;
            bases[i] = &derived->base;
        }
    }
    if (!strcmp(what, "union")) {
        holder.either.item = calloc(1, sizeof(struct item));
        dprintf(1, "S %lx\n", (long)holder.either.item);
    }
    if (!strcmp(what, "untyped")) {
        // Only through void *, and looking like an item: nobody can say that it is none.
        struct item *hidden = calloc(1, sizeof *hidden);
        hidden->next = list = make();
        hidden->link.next = hidden->link.previous = &hidden->link;
        untyped = hidden;
        dprintf(1, "S %lx\n", (long)hidden);
    }
    if (!strcmp(what, "foreign") || !strcmp(what, "embedded") || !strcmp(what, "tails")) {
        // It looks like an item, and is one only where the pointer to what an item embeds leads to it.
        struct item *hidden = calloc(1, sizeof *hidden);
        hidden->next = list = make();
        hidden->link.next = hidden->link.previous = &hidden->link;
        if (*what == 'f') foreign = (struct foreign *)hidden;
        if (*what == 'e') links = &hidden->link;
        if (*what == 't') tails.two.first = (struct alike *)hidden;
        dprintf(1, "S %lx\n", (long)hidden);
    }
    if (!strcmp(what, "stale")) {
        stale = malloc(sizeof *stale);
        struct item *volatile gone = stale;
        free(gone);
        wild = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(wild, 4096);
    }
    if (!strcmp(what, "conflict")) {
        void *both = calloc(1, sizeof(struct unrelated));
        first_kind = both;
        second_kind = both;
    }
    if (!strcmp(what, "pool")) {
        // Objects laid out by the program in a static array of bytes and in a block of its own making.
        char *block = malloc(1000);
        memset(block, 0, 1000);
        pool_user[0] = made((struct item *)(((long)pool_memory + 15) & ~15l));
        pool_user[1] = made((struct item *)(block + 16 + sizeof(struct item) * 2));
        pool_user[2] = made((struct item *)(block + 16 + sizeof(struct item) * 5));
    }
    if (!strcmp(what, "tagged")) off = (struct item *)((long)make() | 1);
    if (!strcmp(what, "ordinary")) {
        // What programs have besides: text, buffers, objects of other types, of the changed type's size among them.
        make_list(10);
        text = malloc(sizeof(struct item));
        strcpy(text, "some text of a program");
        for (int i = 0; i < 50; i++) {
            struct unrelated *other = calloc(1, sizeof *other);
            other->next = others;
            others = other;
        }
        setvbuf(stdout, 0, _IOFBF, 4096);
        fputs("", fopen("/dev/null", "w"));
        // Given up: a call that the compiler cannot leave out.
        void *(*volatile give)(size_t) = malloc;
        memset(give(sizeof(struct item)), 0, sizeof(struct item));
        give(1);
    }
    if (!strcmp(what, "threads")) {
        pthread_t ids[3];
        pthread_barrier_init(&ready, 0, 4);
        for (long i = 0; i < 3; i++) pthread_create(&ids[i], 0, thread, 0);
        pthread_barrier_wait(&ready);
        own = make();
        made(&own_value);
    }
    else made(&own_value);
    if (write(1, "ready\n", 6) != 6) return 1;
    char byte;
    while (read(0, &byte, 1) > 0) {}
    _exit(0);
}

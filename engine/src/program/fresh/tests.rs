//! Small programs, each with makers of one type; both without and with optimisation.

use super::*;
use crate::program::testing::Compiled;
use crate::program::types::Shape;

/// What every program has: the type, a table of it, and something that uses it.
const BEGIN: &str = "
    #include <stdlib.h>
    #include <string.h>
    #include <stdio.h>
    struct entry { struct entry *next; long key; int hits; int refs; char name[16]; };
    static struct entry *table[64];
    __attribute__((noinline)) static void insert(struct entry *e) { e->next = table[e->key % 64]; table[e->key % 64] = e; }
    __attribute__((noinline)) static struct entry *find(long key) {
        struct entry *e = table[key % 64];
        while (e && e->key != key) e = e->next;
        if (e) e->hits++;
        return e;
    }
";
const END: &str = "
    int main(int argc, char **argv) {
        for (int i = 0; i < argc; i++) make(i, argv[i]);
        struct entry *e = find(argc);
        if (e) { e->refs += 3; puts(e->name); }
        return e != 0;
    }
";

/// Whether `hits` and `refs` are proved for a program of which this is the middle, at each level of optimisation.
fn proved(middle: &str) -> [(bool, bool); 2] {
    ["-O0", "-O2"].map(|level| proved_with(middle, &["-g", level]))
}

fn proved_with(middle: &str, flags: &[&str]) -> (bool, bool) {
    let build = Compiled::new("makers", &format!("{BEGIN}{middle}{END}"), flags).build();
    let types = &build.debug.types;
    let kind = types.definitions(gimli::DW_TAG_structure_type.0, "entry")[0];
    let facts = FreshFacts::find(&build, &[kind]).unwrap();
    let field = |name: &str| {
        let Shape::Struct { members } = &types.get(kind).shape else { panic!("a structure") };
        members.iter().find(|member| member.name == name).expect("a member").offset
    };
    (facts.is_zero(kind, field("hits"), 4), facts.is_zero(kind, field("refs"), 4))
}

fn all(expected: (bool, bool)) -> [(bool, bool); 2] {
    [expected; 2]
}

#[test]
fn a_block_that_is_allocated_zeroed_is_zero_where_nothing_is_stored() {
    let make = "void make(long key, const char *name) {
        struct entry *e = calloc(1, sizeof *e);
        if (!e) return;
        e->key = key; e->refs = 1; strncpy(e->name, name, 15); insert(e); }";
    assert_eq!(proved(make), all((true, false)));
}

#[test]
fn fields_that_the_maker_clears_are_zero() {
    let make = "void make(long key, const char *name) {
        struct entry *e = malloc(sizeof *e);
        if (e == NULL) { perror(\"malloc\"); exit(1); }
        e->next = NULL; e->key = key; e->hits = 0; e->refs = 0; strncpy(e->name, name, 15); insert(e); }";
    assert_eq!(proved(make), all((true, true)));
}

#[test]
fn an_inlined_helper_is_part_of_the_maker() {
    let make = "static inline struct entry *fresh(long key) {
            struct entry *e = malloc(sizeof *e); if (!e) abort(); memset(e, 0, sizeof *e); e->key = key; return e; }
        void make(long key, const char *name) { struct entry *e = fresh(key); strcpy(e->name, name); e->refs = 7; insert(e); }";
    assert_eq!(proved(make)[1], (true, false));
}

#[test]
fn wrappers_of_allocators_are_seen_through() {
    for wrapper in [
        "void *get(size_t n) { void *p = calloc(1, n); if (!p) { fputs(\"no memory\", stderr); exit(1); } return p; }",
        "void *get(size_t n) { void *p = malloc(n); if (p) memset(p, 0, n); return p; }",
        "void *inner(size_t n) { return calloc(n, 1); } void *get(size_t n) { void *p = inner(n); if (!p) abort(); return p; }",
    ] {
        let make = format!(
            "__attribute__((noinline)) {wrapper}
            void make(long key, const char *name) {{ struct entry *e = get(sizeof *e); e->key = key; insert(e); }}"
        );
        assert_eq!(proved(&make), all((true, true)), "{wrapper}");
    }
}

#[test]
fn a_wrapper_that_does_not_clear_proves_nothing_of_what_nobody_stores() {
    let make = "__attribute__((noinline)) void *get(size_t n) { void *p = malloc(n); if (!p) exit(1); return p; }
        void make(long key, const char *name) { struct entry *e = get(sizeof *e); e->key = key; e->hits = 0; insert(e); }";
    assert_eq!(proved(make), all((true, false)));
}

#[test]
fn a_constructor_and_its_callers_make_the_object_together() {
    let make = "__attribute__((noinline)) static struct entry *fresh(long key) {
            struct entry *e = calloc(1, sizeof *e); if (e) e->key = key; return e; }
        __attribute__((noinline)) static void begin(struct entry *e, int refs) { e->refs = refs; }
        void make(long key, const char *name) { struct entry *e = fresh(key); if (!e) return; begin(e, key + 1); insert(e); }";
    assert_eq!(proved(make), all((true, false)));
}

#[test]
fn what_is_stored_through_the_place_of_the_new_pointer_counts() {
    let make = "__attribute__((noinline)) static void put(struct entry **place, long key) {
            *place = calloc(1, sizeof **place); if (!*place) exit(1); (*place)->key = key; (*place)->refs = 1; }
        void make(long key, const char *name) { put(&table[key & 63], key); }";
    assert_eq!(proved(make), all((true, false)));
    let make = "__attribute__((noinline)) static int put(struct entry **place, long key) {
            *place = calloc(1, sizeof **place); if (!*place) return 0; (*place)->key = key; return 1; }
        void make(long key, const char *name) { struct entry *e; if (put(&e, key)) { e->refs = 1; insert(e); } }";
    assert_eq!(proved(make)[0], (false, false));
}

#[test]
fn a_second_maker_counts_as_much_as_the_first() {
    let make = "__attribute__((noinline)) void make(long key, const char *name) {
            struct entry *e = calloc(1, sizeof *e); if (!e) return; e->key = key; insert(e); }
        void other(long key) { struct entry *e = malloc(sizeof *e); if (!e) return; e->key = key; e->refs = 0; insert(e); }";
    assert_eq!(proved(make), all((false, true)));
}

#[test]
fn a_field_that_is_stored_on_one_way_only_is_not_proved() {
    let make = "void make(long key, const char *name) {
        struct entry *e = malloc(sizeof *e);
        if (!e) return;
        e->key = key; e->refs = 0;
        if (name) e->hits = 0; else e->next = 0;
        insert(e); }";
    assert_eq!(proved(make), all((false, true)));
}

#[test]
fn malloc_alone_proves_nothing() {
    let make =
        "void make(long key, const char *name) { struct entry *e = malloc(sizeof *e); if (e) { e->key = key; insert(e); } }";
    assert_eq!(proved(make), all((false, false)));
}

#[test]
fn the_end_of_a_block_that_grows_is_not_zero() {
    let make = "static struct entry *all; static int count;
        void make(long key, const char *name) {
            struct entry *more = realloc(all, (count + 1) * sizeof *all);
            if (!more) return;
            all = more; all[count].key = key; all[count].hits = 0; count++; }";
    assert_eq!(proved(make), all((false, false)));
}

#[test]
fn arrays_are_zero_where_all_their_elements_are() {
    let make = |call: &str| {
        format!(
            "static struct entry *all;
            void make(long key, const char *name) {{ all = {call}; if (!all) return; all[0].refs = 0; all[0].key = key; insert(&all[1]); }}"
        )
    };
    assert_eq!(proved(&make("calloc(key, sizeof *all)")), all((true, true)));
    assert_eq!(proved(&make("malloc(8 * sizeof *all)")), all((false, false)));
}

#[test]
fn a_type_that_a_pool_carves_out_is_not_proved() {
    let zeroed =
        "void make(long key, const char *name) { struct entry *e = calloc(1, sizeof *e); if (e) { e->key = key; insert(e); } }";
    assert_eq!(proved(zeroed), all((true, true)));
    for pool in [
        // A static array, bytes in a block, a list of free cells, the stack, a number.
        "static char pool[65536]; static size_t used;
         __attribute__((noinline)) void *carve(size_t n) { void *p = pool + used; used += n; return p; }",
        "static struct { char *cursor, *end; } pool;
         __attribute__((noinline)) void *carve(size_t n) {
            if (pool.end - pool.cursor < (long)n) { pool.cursor = malloc(65536); pool.end = pool.cursor + 65536; }
            void *p = pool.cursor; pool.cursor += n; return p; }",
        "static void *cells;
         __attribute__((noinline)) void *carve(size_t n) {
            void *p = cells; if (!p) return malloc(n); cells = *(void **)p; return p; }",
        "static unsigned long cursor;
         __attribute__((noinline)) void *carve(size_t n) { unsigned long p = cursor; cursor += n; return (void *)p; }",
    ] {
        let make = format!(
            "{zeroed} {pool}
            void other(long key) {{ struct entry *e = carve(sizeof *e); e->key = key; e->refs = 1; insert(e); }}"
        );
        assert_eq!(proved(&make), all((false, false)), "{pool}");
    }
}

#[test]
fn blocks_of_bytes_do_not_stand_in_the_way() {
    let make = "static char *buffer; static size_t room; struct text { char *bytes; size_t length; };
        __attribute__((noinline)) static char *grow(size_t n) { buffer = realloc(buffer, n); room = n; return buffer; }
        __attribute__((noinline)) static struct text *text(const char *from) {
            struct text *t = malloc(sizeof *t); t->length = strlen(from); t->bytes = malloc(t->length + 1); strcpy(t->bytes, from); return t; }
        static struct text *last;
        void make(long key, const char *name) {
            struct entry *e = calloc(1, sizeof *e); if (!e) return; e->key = key; last = text(name); grow(key + 7); insert(e); }";
    assert_eq!(proved(make), all((true, true)));
}

#[test]
fn a_block_without_a_type_may_be_an_object() {
    let make = |size: &str| {
        format!(
            "void *kept[4];
            void make(long key, const char *name) {{
                struct entry *e = calloc(1, sizeof *e); if (!e) return; e->key = key; kept[key & 3] = malloc({size}); insert(e); }}"
        )
    };
    assert_eq!(proved(&make("key")), all((false, false)));
    assert_eq!(proved(&make("200")), all((false, false)));
    assert_eq!(proved(&make("8")), all((true, true)));
}

#[test]
fn copies_and_objects_on_the_stack_are_not_zero() {
    let copied = "void make(long key, const char *name) {
        struct entry *e = calloc(1, sizeof *e), *other = find(key); if (!e) return;
        if (other) memcpy(e, other, sizeof *e); e->key = key; insert(e); }";
    assert_eq!(proved(copied), all((false, false)));
    let local = "void make(long key, const char *name) {
        struct entry *e = calloc(1, sizeof *e); if (!e) return; e->key = key; insert(e);
        struct entry own; own.key = key + 1; own.next = e; printf(\"%p\", (void *)&own); }";
    assert_eq!(proved(local), all((false, false)));
}

#[test]
fn string_instructions_and_vectors_are_followed() {
    let make = |body: &str| {
        format!(
            "struct wide {{ struct entry e; long more[40]; }}; static struct wide template;
            void make(long key, const char *name) {{
                struct wide *w = malloc(sizeof *w); if (!w) return; {body} w->e.key = key; insert(&w->e); template.e.refs++; }}"
        )
    };
    let clear = "__builtin_memset(w, 0, sizeof *w);";
    for flags in [["-g", "-O2", "-mavx2"], ["-g", "-O2", "-msse2"], ["-g", "-Os", "-msse2"]] {
        assert_eq!(proved_with(&make(clear), &flags), (true, true), "{flags:?}");
        assert_eq!(proved_with(&make("*w = template;"), &flags), (false, false), "{flags:?}");
    }
}

#[test]
fn a_jump_through_a_table_leads_to_all_its_targets() {
    let make = |case: &str| {
        format!(
            "void make(long key, const char *name) {{
                struct entry *e = malloc(sizeof *e); if (!e) return;
                e->hits = 0; e->key = key; e->next = NULL;
                switch (name[0]) {{
                    case 'a': e->refs = 0; puts(\"a\"); break; case 'b': e->refs = 0; puts(name + 1); break;
                    case 'c': e->refs = 0; printf(\"%ld\", key); break; case 'd': e->refs = 0; fputs(name, stderr); break;
                    case 'e': {case} perror(name); break; case 'f': e->refs = 0; puts(name + 7); break;
                    default: e->refs = 0; }}
                insert(e); }}"
        )
    };
    assert_eq!(proved(&make("e->refs = 0;")), all((true, true)));
    assert_eq!(proved(&make("")), all((true, false)));
}

#[test]
fn code_that_is_not_known_may_store_anything() {
    let make = "void (*hook)(struct entry *);
        void make(long key, const char *name) { struct entry *e = calloc(1, sizeof *e); if (!e) return; e->key = key; if (hook) hook(e); insert(e); }";
    assert_eq!(proved(make), all((false, false)));
}

#[test]
fn embedded_objects_are_made_with_what_they_lie_in() {
    let make = |call: &str| {
        format!(
            "struct pair {{ long size; struct entry a, b; }};
            void make(long key, const char *name) {{
                struct pair *p = {call}; if (!p) return; p->a.key = key; p->b.key = key + 1; insert(&p->a); insert(&p->b); }}"
        )
    };
    assert_eq!(proved(&make("calloc(1, sizeof *p)")), all((true, true)));
    assert_eq!(proved(&make("malloc(sizeof *p)")), all((false, false)));
}

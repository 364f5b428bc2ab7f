//! Rules over pairs of small programs that are compiled here and never run.

use dsu_formats::address::RunAddress;

use super::{Decision, Site};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::blocker::PointerReason;
use crate::plan::testing::{OLD_BIAS, Pair, find_string, pair};
use crate::program::address::LinkAddress;
use crate::program::build::Build;

impl Pair {
    fn decide(&self, link: OldLink, site: Site) -> Decision {
        self.pointers().decide_link(link, site)
    }

    fn old_string(&self, text: &str) -> OldLink {
        OldLink(LinkAddress(find_string(&self.old, text).unwrap_or_else(|| panic!("no {text:?}"))))
    }
}

#[test]
fn entries_follow_their_function_and_insides_only_unchanged_code() {
    let source = |body: &str| {
        format!(
            "int __attribute__((noinline)) same(int x) {{ return x * 3 + 1; }}
             int __attribute__((noinline)) other(int x) {{ return {body}; }}
             int main(int c, char **v) {{ (void)v; return same(c) + other(c); }}"
        )
    };
    let pair = pair(&source("x + 2"), &source("x * x * 7 - 2"));
    assert_eq!(pair.decide(pair.old_symbol("same"), Site::Memory), Decision::Move(pair.new_symbol("same")));
    assert_eq!(pair.decide(pair.old_symbol("other"), Site::Memory), Decision::Move(pair.new_symbol("other")));
    let inside = pair.decide(pair.old_symbol("same").offset(2), Site::Memory);
    assert_eq!(inside, Decision::Move(pair.new_symbol("same").offset(2)));
    let changed = pair.decide(pair.old_symbol("other").offset(2), Site::Memory);
    assert!(matches!(changed, Decision::Blocked(PointerReason::InsideFunction { offset: 2, .. })), "{changed:?}");
}

#[test]
fn a_function_or_variable_that_is_gone_is_named() {
    let old = "int gone_value = 4; int gone(void) { return gone_value; } int main(void) { return gone(); }";
    let pair = pair(old, "int main(void) { return 4; }");
    for (name, kind) in [("gone", "function"), ("gone_value", "variable")] {
        match pair.decide(pair.old_symbol(name), Site::Memory) {
            Decision::Blocked(PointerReason::Gone { what, symbol, .. }) => assert_eq!((what, symbol.as_str()), (kind, name)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn equal_literals_are_followed_and_others_stay() {
    let source = |text: &str| {
        format!("const char *one = \"the same text\"; const char *two = \"{text}\"; int main(void) {{ return one[0] + two[0]; }}")
    };
    let pair = pair(&source("an old text"), &source("a new text"));
    let kept = pair.decide(pair.old_string("the same text").offset(4), Site::Memory);
    assert_eq!(kept, Decision::Move(NewLink::new(find_string(&pair.new, "the same text").unwrap() + 4)));
    let start = pair.old_string("an old text");
    assert_eq!(pair.decide(start.offset(3), Site::Memory), Decision::Keep(start, start.offset(12)));
}

const PARTED: [&str; 2] = [
    "struct s { long v; }; int first[4] = {1, 2, 3, 4}; struct s second = {5};
     int *ends = &first[4]; struct s *starts = &second; int main(void) { return first[1] + second.v + *ends + starts->v; }",
    "struct s { long v; }; int first[4] = {1, 2, 3, 4}; long between[4] = {7}; struct s second = {5};
     int *ends = &first[4]; struct s *starts = &second; int main(void) { return first[1] + second.v + between[0] + *ends + starts->v; }",
];

#[test]
fn the_type_of_the_word_decides_between_an_end_and_a_start() {
    let pair = pair(PARTED[0], PARTED[1]);
    let border = pair.old_symbol("second");
    assert_eq!(border, pair.old_symbol("first").offset(16), "the sample lost its border");
    let kind = |name: &str| {
        let variable = pair.old.debug.variables.iter().find(|variable| variable.name == name).unwrap();
        Site::Typed(variable.kind.unwrap())
    };
    assert_eq!(pair.decide(border, kind("starts")), Decision::Move(pair.new_symbol("second")));
    assert_eq!(pair.decide(border, kind("ends")), Decision::Move(pair.new_symbol("first").offset(16)));
    match pair.decide(border, Site::Memory) {
        Decision::Blocked(PointerReason::Boundary { before, after }) => {
            assert_eq!((before, after), ("first".into(), "second".into()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_border_that_stays_one_is_harmless() {
    let pair = pair(PARTED[0], PARTED[0]);
    assert_eq!(pair.decide(pair.old_symbol("second"), Site::Memory), Decision::Move(pair.new_symbol("second")));
}

#[test]
fn rows_follow_their_content_then_their_key() {
    let source = |rows: &str| {
        format!(
            "struct row {{ const char *name; int cost; }}; const struct row rows[] = {{ {rows} }};
             int main(int c, char **v) {{ (void)v; return rows[c].cost; }}"
        )
    };
    let old = source("{\"zero\", 0}, {\"one\", 1}, {\"two\", 2}, {\"three\", 3}");
    let new = source("{\"zero\", 0}, {\"half\", 5}, {\"one\", 1}, {\"two\", 22}");
    let pair = pair(&old, &new);
    let (from, to) = (pair.old_symbol("rows"), pair.new_symbol("rows"));
    let row = |index: u64| pair.decide(from.offset(index * 16 + 8), Site::Memory);
    assert_eq!(row(0), Decision::Move(to.offset(8)));
    assert_eq!(row(1), Decision::Move(to.offset(2 * 16 + 8)));
    assert_eq!(row(2), Decision::Move(to.offset(3 * 16 + 8)), "its cost changed, its name did not");
    assert!(matches!(row(3), Decision::Blocked(PointerReason::Table { row: 3, matches: 0, .. })), "{:?}", row(3));
    assert_eq!(pair.decide(from.offset(4 * 16), Site::Memory), Decision::Move(to.offset(4 * 16)), "the end stays the end");
}

#[test]
fn the_module_s_own_tables_are_followed_by_name_and_tag() {
    let pair = pair("int main(void) { return 0; }", "int more = 3; int main(void) { return more; }");
    let section = |build: &Build, name: &str| build.elf.section(name).unwrap().address;
    for name in [".dynsym", ".dynstr", ".eh_frame_hdr", ".dynamic", ".init_array"] {
        let moved = pair.decide(OldLink(section(&pair.old, name)), Site::Loader);
        assert_eq!(moved, Decision::Move(NewLink(section(&pair.new, name))), "{name}");
    }
    let start = OldLink(pair.old.elf.load_range().0);
    assert_eq!(pair.decide(start, Site::Memory), Decision::Move(NewLink(pair.new.elf.load_range().0)));
    let end = |build: &Build| build.elf.loads().map(|load| load.address.0 + load.memory_size).max().unwrap();
    assert_eq!(pair.decide(OldLink::new(end(&pair.old)), Site::Loader), Decision::Move(NewLink::new(end(&pair.new))));
    let outside = pair.pointers().decide(RunAddress(OLD_BIAS - 8).0, Site::Memory);
    assert_eq!(outside, None);
}

/// A table that gains a row before its first, and a function that puts `body` into `*place`.
fn gains_a_first_row(body: &str) -> [String; 2] {
    let source = |rows: &str| {
        format!(
            "struct row {{ const char *name; int cost; }}; static const struct row rows[] = {{ {rows} {{\"one\", 1}}, {{\"two\", 2}} }};
             void __attribute__((noinline)) choose(const struct row **place, unsigned long i) {{ {body} }}
             int main(int c, char **v) {{ const struct row *row; (void)v; choose(&row, c); return row->cost + rows[c].cost; }}"
        )
    };
    [source(""), source("{\"zero\", 0},")]
}

fn first_row(body: &str, site: Site) -> (Decision, NewLink) {
    let [old, new] = gains_a_first_row(body);
    let pair = pair(&old, &new);
    (pair.decide(pair.old_symbol("rows"), site), pair.new_symbol("rows"))
}

#[test]
fn a_table_whose_address_is_only_computed_with_is_pointed_to_by_row() {
    let (decision, rows) = first_row("*place = &rows[i];", Site::Memory);
    assert_eq!(decision, Decision::Move(rows.offset(16)));
    let search = "unsigned long low = 0, high = 2;
        while (low < high) { unsigned long middle = (low + high) / 2;
            if (rows[middle].cost < (int)i) low = middle + 1; else if (rows[middle].cost > (int)i) high = middle;
            else { *place = &rows[middle]; return; } }";
    let (decision, rows) = first_row(search, Site::Memory);
    assert_eq!(decision, Decision::Move(rows.offset(16)));
}

#[test]
fn a_table_whose_address_is_kept_or_held_by_running_code_may_be_meant_itself() {
    let kept = [
        "*place = rows; (void)i;",
        "extern void *memcpy(void *, const void *, unsigned long); memcpy(place, rows, i);",
        "const struct row *row = rows; while (row->cost != (int)i) row++; *place = row;",
        "__asm__ volatile(\"\" : : \"r\"(rows)); __asm__ volatile(\"push %0; pop %0\" : : \"r\"(rows)); *place = &rows[i];",
    ];
    for body in kept {
        let (decision, _) = first_row(body, Site::Memory);
        assert!(matches!(decision, Decision::Blocked(PointerReason::Table { row: 0, .. })), "{body}: {decision:?}");
    }
    let (decision, _) = first_row("*place = &rows[i];", Site::Register);
    assert!(matches!(decision, Decision::Blocked(PointerReason::Table { row: 0, .. })), "{decision:?}");
}

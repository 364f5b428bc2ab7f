//! Pointers into the middle of objects.

use super::{Names, builds, constant};
use crate::plan::data::recipe::Mapped;
use crate::plan::data::rules::Rules;
use crate::program::types::TypeId;

#[test]
fn pointers_follow_their_field() {
    let builds = builds(
        "struct in { int x; short y; }; struct c { long first; int n; struct in a[3]; char name[6]; struct in last; int gone; } v; short *s; char *t; void *w;",
        "struct in { short y; int x; }; struct c { int fresh; char name[6]; struct in last; struct in a[3]; int n; long first; } v; short *s; char *t; void *w;",
        "-gdwarf-5",
    );
    let old = Names(&builds.old);
    let new = Names(&builds.new);
    let rules = Rules { fields: [(new.place("c", "fresh"), constant(0))].into(), ..Rules::default() };
    let recipe = builds.recipe(&rules).expect("answered");
    let kind = |name: &str| Some(old.kind(name));
    let at = |offset, target: Option<TypeId>| recipe.map_offset(offset, target);
    // Old: first 0, n 8, a 12 (8 each: x 0, y 4), name 36, last 44, gone 52. New: name 4, last 12, a 20 (y 0, x 4), n 44, first 48.
    assert_eq!(at(0, kind("c")), Mapped::At(0));
    assert_eq!(at(0, kind("long int")), Mapped::At(48));
    assert_eq!(at(0, None), Mapped::Either { object: 0, field: 48 });
    assert_eq!(at(8, None), Mapped::At(44));
    assert_eq!(at(20, kind("in")), Mapped::At(28));
    assert_eq!(at(20, kind("int")), Mapped::At(32));
    assert_eq!(at(24, kind("short int")), Mapped::At(28));
    assert_eq!(at(20, None), Mapped::Either { object: 28, field: 32 });
    assert_eq!(at(39, kind("char")), Mapped::At(7));
    assert_eq!(at(44, kind("in")), Mapped::At(12));
    assert_eq!(at(52, None), Mapped::Gone);
    assert_eq!(at(26, None), Mapped::Gone);
    assert_eq!(at(56, kind("c")), Mapped::Gone);
    assert_eq!(at(usize::MAX, None), Mapped::Gone);
}

#[test]
fn the_end_of_an_array_goes_by_the_pointer_s_type() {
    let builds = builds(
        "struct c { long a[2]; short b; char s[4]; char t[4]; } v;",
        "struct c { short b; char t[4]; long a[2]; char s[4]; } v;",
        "-gdwarf-5",
    );
    let old = Names(&builds.old);
    let recipe = builds.recipe(&Rules::default()).expect("nothing to ask");
    // Old: a 0, b 16, s 18, t 22. New: b 0, t 2, a 8, s 24.
    assert_eq!(recipe.map_offset(16, Some(old.kind("long int"))), Mapped::At(24));
    assert_eq!(recipe.map_offset(16, Some(old.kind("short int"))), Mapped::At(0));
    assert_eq!(recipe.map_offset(16, None), Mapped::At(0));
    assert_eq!(recipe.map_offset(22, Some(old.kind("char"))), Mapped::Boundary { end: 28, next: 2 });
}

#[test]
fn the_end_of_an_array_that_grew_is_not_decided() {
    let builds = builds("struct c { long a[2]; short b; } v;", "struct c { long a[4]; short b; } v;", "-gdwarf-5");
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let rules = Rules { new_elements: [(new.place("c", "a"), constant(0))].into(), ..Rules::default() };
    let recipe = builds.recipe(&rules).expect("answered");
    assert_eq!(recipe.map_offset(16, Some(old.kind("long int"))), Mapped::Gone);
    assert_eq!(recipe.map_offset(16, Some(old.kind("short int"))), Mapped::At(32));
    assert_eq!(recipe.map_offset(8, Some(old.kind("long int"))), Mapped::At(8));
}

#[test]
fn pointers_into_a_flexible_array() {
    let builds = builds("struct c { int n; short data[]; } v;", "struct c { long n; short data[]; } v;", "-gdwarf-5");
    let recipe = builds.recipe(&Rules::default()).expect("nothing to ask");
    assert_eq!(recipe.map_offset(4 + 2 * 5, None), Mapped::At(8 + 2 * 5));
    assert_eq!(recipe.map_offset(4 + 2 * 5 + 1, None), Mapped::At(8 + 2 * 5 + 1));
}

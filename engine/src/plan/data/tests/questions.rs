//! What is asked, all at once, and what answers it.

use super::{asked, asked_with, becomes_with, constant};
use crate::plan::data::question::Unknown;
use crate::plan::data::rules::Rules;

fn one(what: Unknown, field: &str) -> Vec<(Unknown, String)> {
    vec![(what, field.to_owned())]
}

#[test]
fn everything_is_asked_at_once() {
    let found = asked(
        "struct in { int x; }; struct c { struct in a, b; char s[4]; int p; union { int i; char c; } u; long gone; } v;",
        "struct in { int x, y; }; struct c { struct in a, b; char s[8]; char *p; union { long i; char c; } u; long fresh; } v;",
    );
    let of = |what, field: &str| (what, field.to_owned());
    assert_eq!(
        found,
        [
            of(Unknown::NewField, "struct c.fresh"),
            of(Unknown::NewField, "struct in.y"),
            of(Unknown::NewElements, "struct c.s"),
            of(Unknown::Retyped, "struct c.p"),
            of(Unknown::UnionMember, "struct c.u"),
        ]
    );
}

#[test]
fn a_field_of_another_name_is_asked_with_a_hint() {
    let question =
        asked_with("struct c { int a; long old; } v;", "struct c { int a; int b; long name; } v;", |_, _| Rules::default());
    let name = question.iter().find(|question| question.field == "name").expect("asked");
    assert_eq!(name.likely.as_deref(), Some("old"));
    assert!(name.declared.0.ends_with("data.c") && name.declared.1 > 0);
    assert!(name.to_string().starts_with("`struct c.name` (long int) is new"), "{name}");
}

#[test]
fn pointers_to_other_things_are_asked() {
    let (old, new) = ("struct a { int x; }; struct b { long y; };", "struct a { int x; }; struct b { long y; };");
    assert_eq!(
        asked(
            &format!("{old} struct c {{ struct a *p; }} v; struct b u;"),
            &format!("{new} struct c {{ struct b *p; }} v; struct a u;")
        ),
        one(Unknown::Target, "struct c.p")
    );
    assert_eq!(asked("struct c { int *p; } v;", "struct c { long *p; } v;"), one(Unknown::Target, "struct c.p"));
    assert_eq!(
        asked("struct a { int x; } u; struct c { void *p; } v;", "struct a { int x; } u; struct c { struct a *p; } v;"),
        one(Unknown::Target, "struct c.p")
    );
}

#[test]
fn flexible_arrays_of_changed_elements_need_their_length() {
    assert_eq!(
        asked("struct c { int n; short data[]; } v;", "struct c { int n; int data[]; } v;"),
        one(Unknown::Length, "struct c.data")
    );
}

#[test]
fn names_with_two_meanings_are_asked() {
    assert_eq!(
        asked("enum e { A = 1, B = 1 }; struct c { enum e x; } v;", "enum e { A = 1, B = 2 }; struct c { enum e x; } v;"),
        one(Unknown::Enumerator, "struct c.x")
    );
}

#[test]
fn rules_that_do_not_fit_are_asked_about() {
    let with = |value: i128| {
        move |_: super::Names<'_>, new: super::Names<'_>| Rules {
            fields: [(new.place("c", "fresh"), constant(value))].into(),
            ..Rules::default()
        }
    };
    let (old, new) = ("struct c { int a; } v = { 1 };", "struct c { int a; unsigned char fresh; } v = { 1, 255 };");
    becomes_with(old, new, with(255));
    let questions = asked_with(old, new, with(256));
    assert_eq!(questions.iter().map(|question| question.what).collect::<Vec<_>>(), [Unknown::Rule]);
    assert!(questions[0].to_string().contains("the value 256 does not fit unsigned char"), "{}", questions[0]);
}

#[test]
fn a_rename_answers_for_the_field_and_not_for_what_is_in_it() {
    use crate::plan::data::rules::FieldSource;
    let renamed = |old: super::Names<'_>, new: super::Names<'_>| {
        let from = super::rule(FieldSource::Old(old.path("c", "old")));
        Rules { fields: [(new.place("c", "name"), from)].into(), ..Rules::default() }
    };
    becomes_with(
        "struct c { int a; void *old; } v = { 1, 0 };",
        "struct c { unsigned long name; int a; } v = { 0, 1 };",
        renamed,
    );
    let old = "struct in { void *p; }; struct c { int a; struct in old; } v;";
    let new = "struct in { unsigned long p; }; struct c { struct in name; int a; } v;";
    let questions = asked_with(old, new, renamed);
    assert_eq!(questions.iter().map(|question| question.what).collect::<Vec<_>>(), [Unknown::Retyped]);
}

//! Numbers of other widths and kinds, enumerations, bit-fields, unions.

use super::{becomes, becomes_with, fails, fails_with};
use crate::plan::data::rules::{EnumRule, Rules, UnionChoice, UnionRule, Unmapped};

#[test]
fn integers_widen_with_their_sign() {
    becomes(
        "struct c { signed char a; short b; int c; unsigned char d; unsigned e; bool f; } v = { -1, -2, -3, 250, 4000000000u, 1 };",
        "struct c { long a; int b; long long c; int d; long e; int f; } v = { -1, -2, -3, 250, 4000000000l, 1 };",
    );
}

#[test]
fn integers_narrow_where_they_fit() {
    let new = "struct c { short a; unsigned char b; bool f; } v = { -7, 200, 1 };";
    becomes("struct c { long a; int b; long f; } v = { -7, 200, 300 };", new);
    for (a, b, named) in [("40000", "200", "struct c.a"), ("-7", "256", "struct c.b"), ("-7", "-1", "struct c.b")] {
        let message = fails(&format!("struct c {{ long a; int b; long f; }} v = {{ {a}, {b}, 300 }};"), new);
        assert!(message.contains(named) && message.contains("0x1000"), "{message}");
    }
    becomes_with("struct c { long a; int b; long f; } v = { 65536 - 7, 456, 300 };", new, |_, new| Rules {
        may_lose: [new.place("c", "a"), new.place("c", "b")].into(),
        ..Rules::default()
    });
}

#[test]
fn a_sign_that_changes_is_no_loss_for_values_that_both_have() {
    let new = "struct c { unsigned n; int m; } v = { 5, 6 };";
    becomes("struct c { int n; unsigned m; } v = { 5, 6 };", new);
    assert!(fails("struct c { int n; unsigned m; } v = { -1, 6 };", new).contains("-1"));
    assert!(fails("struct c { int n; unsigned m; } v = { 1, 3000000000u };", new).contains("3000000000"));
}

#[test]
fn characters_are_bytes() {
    becomes(
        "struct c { char a[3]; int n; signed char b; } v = { { -1, 2, 3 }, 1, -5 };",
        "struct c { int n; unsigned char a[3]; char b; } v = { 1, { 255, 2, 3 }, -5 };",
    );
}

#[test]
fn floating_point_numbers() {
    becomes(
        "struct c { float a; int b; double c; long double d; } v = { 1.5f, 3, 0.25, 1.25L };",
        "struct c { double a, b; float c; long double d; } v = { 1.5, 3, 0.25f, 1.25L };",
    );
    assert!(fails("struct c { double a; } v = { 0.1 };", "struct c { float a; } v = { 0.1f };").contains("0.1"));
    assert!(fails("struct c { double a; } v = { 0.5 };", "struct c { long a; } v = { 0 };").contains("0.5"));
    becomes("struct c { double a; } v = { 1e15 };", "struct c { long a; } v = { 1000000000000000 };");
}

#[test]
fn bit_fields_move_widen_and_become_fields() {
    becomes(
        "struct c { unsigned a : 3; int b : 5; unsigned long c : 40; unsigned d : 1; } v = { 5, -7, 1l << 39, 1 };",
        "struct c { int b : 9; unsigned a : 7; unsigned d : 1, : 0; unsigned long c : 41; } v = { -7, 5, 1, 1l << 39 };",
    );
    becomes(
        "struct c { unsigned a : 3; int b : 5; unsigned char d; } v = { 5, -7, 6 };",
        "struct c { unsigned a; long b; unsigned char d : 3; } v = { 5, -7, 6 };",
    );
    let message = fails("struct c { unsigned d; } v = { 9 };", "struct c { unsigned d : 3; } v = { 1 };");
    assert!(message.contains("struct c.d"), "{message}");
}

#[test]
fn enumerations_map_by_name() {
    let old = "enum e { A, B, C }; struct c { enum e x, y; int n; } v = { A, C, 1 };";
    let new = "enum e { Z, C, B, A }; struct c { enum e x, y; int n; } v = { A, C, 1 };";
    becomes(old, new);
    let number = "enum e { A, B, C }; struct c { int x; enum e y; int n; } v = { 3, C, 1 };";
    becomes(number, new);
    assert!(fails(&number.replace("{ 3,", "{ 4,"), new).contains("the value 4"));
    becomes(old, "enum e { A, B, C }; struct c { long x; short y; int n; } v = { 0, 2, 1 };");
    let nameless = "enum e { A, B, C }; struct c { enum e x, y; int n; } v = { 7, C, 1 };";
    let message = fails(nameless, new);
    assert!(message.contains("the value 7 is none of"), "{message}");
    becomes_with(nameless, &new.replace("= { A", "= { 7"), |old, _| Rules {
        enums: [(old.kind("e"), EnumRule { otherwise: Unmapped::Keep, ..EnumRule::default() })].into(),
        ..Rules::default()
    });
}

#[test]
fn sets_of_bits_map_bit_by_bit() {
    let old = "enum f { A = 1, B = 2, C = 4 }; struct c { enum f x; } v = { A | C };";
    let new = "enum f { C = 1, B = 2, A = 8 }; struct c { enum f x; } v = { A | C };";
    assert!(fails(old, new).contains("the value 5"));
    let flags = |old: super::Names<'_>, _: super::Names<'_>| Rules {
        enums: [(old.kind("f"), EnumRule { flags: true, ..EnumRule::default() })].into(),
        ..Rules::default()
    };
    becomes_with(old, new, flags);
    assert!(fails_with(&old.replace("A | C", "A | 16"), new, flags).contains("the value 17"));
}

#[test]
fn enumerators_that_go_need_a_rule_where_they_are_in_use() {
    let old = "enum e { A, B, C }; struct c { enum e x; int n; } v = { B, 1 };";
    let new = "enum e { A, C }; struct c { enum e x; int n; } v = { C, 1 };";
    assert!(fails(old, new).contains("the value 1"));
    becomes(&old.replace("= { B", "= { C"), new);
    becomes_with(old, new, |old, _| Rules {
        enums: [(old.kind("e"), EnumRule { values: [(1, 1)].into(), ..EnumRule::default() })].into(),
        ..Rules::default()
    });
}

#[test]
fn unions_that_keep_their_members_are_copied() {
    becomes(
        "struct c { union { int a; char b[6]; } u; int n; } v = { { .b = \"hello\" }, 4 };",
        "struct c { int n; union { int a; char b[6]; double fresh[2]; } u; } v = { 4, { .b = \"hello\" } };",
    );
}

#[test]
fn unions_that_change_go_by_their_tag() {
    let old = |kind: &str, value: &str| {
        format!(
            "struct in {{ short a; int b; }}; struct c {{ int kind; union {{ int i; struct in s; float f; }} u; }} v = {{ {kind}, {value} }};"
        )
    };
    let new = |kind: &str, value: &str| {
        format!(
            "struct in {{ int b, a; }}; struct c {{ union {{ long i; struct in s; float f; }} u; int kind; }} v = {{ {value}, {kind} }};"
        )
    };
    let rules = |old: super::Names<'_>, _: super::Names<'_>| {
        let member = |position| UnionChoice { old: Some(position), new: None };
        let choices = [(0, member(0)), (1, member(1))].into();
        let rule = UnionRule { tag: old.path("c", "kind"), choices, otherwise: None };
        Rules { unions: [(old.place("c", "u"), rule)].into(), ..Rules::default() }
    };
    becomes_with(&old("0", "{ .i = -3 }"), &new("0", "{ .i = -3 }"), rules);
    becomes_with(&old("1", "{ .s = { 4, 5 } }"), &new("1", "{ .s = { 5, 4 } }"), rules);
    let message = fails_with(&old("2", "{ .f = 1 }"), &new("2", "{ .f = 1 }"), rules);
    assert!(message.contains("the tag is 2"), "{message}");
}

#[test]
fn a_field_moves_into_a_new_union() {
    becomes(
        "struct c { int kind; int n; } v = { 1, -2 };",
        "struct c { int kind; union { long n; double f; }; } v = { 1, { .n = -2 } };",
    );
}

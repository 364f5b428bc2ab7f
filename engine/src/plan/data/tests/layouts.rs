//! Fields that move, arrays that grow and shrink, structures within structures.

use super::{becomes, becomes_with, builds, constant, fails, fails_with, rule};
use crate::plan::data::compile::FreshValues;
use crate::plan::data::recipe::{Origin, Step};
use crate::plan::data::rules::{FieldSource, Rules};
use crate::plan::data::value::Value;
use crate::program::types::TypeId;

#[test]
fn fields_move_and_go() {
    becomes(
        "struct c { char a; int b; long gone; short d; double e; } v = { 1, 2, 3, 4, 5.5 };",
        "struct c { double e; char a; short d; int b; } v = { 5.5, 1, 4, 2 };",
    );
}

#[test]
fn neighbours_are_one_copy() {
    let recipe = becomes(
        "struct c { int gone; int a, b, c; char d[4]; } v = { 1, 2, 3, 4, { 5, 6, 7, 8 } };",
        "struct c { int a, b, c; char d[4]; } v = { 2, 3, 4, { 5, 6, 7, 8 } };",
    );
    assert!(matches!(recipe.steps.as_slice(), [Step::Copy { from: 4, to: 0, length: 16 }]), "{:?}", recipe.steps);
}

#[test]
fn new_fields_take_rules_and_never_old_padding() {
    // The old padding behind `a` is where the new field is.
    let builds = builds(
        "struct c { char a; int b; } v = { 1, 2 };",
        "struct c { char a; char fresh; int b; } v = { 1, 7, 2 };",
        "-gdwarf-5",
    );
    let names = super::Names(&builds.new);
    let mut rules = Rules::default();
    rules.fields.insert(names.place("c", "fresh"), constant(7));
    let recipe = builds.recipe(&rules).expect("answered");
    let context = super::context(&builds.old.debug.types);
    let mut new = [0xa5; 8];
    recipe.apply(&[1, 0xee, 0xee, 0xee, 2, 0, 0, 0], &mut new, &context).expect("applies");
    assert_eq!(new, [1, 7, 0, 0, 2, 0, 0, 0]);
    assert_eq!(recipe.origins, [("struct c.fresh".to_owned(), Origin::Rule("update.toml:1:1".into()))]);
}

#[test]
fn nested_structures_change_in_place() {
    let recipe = becomes(
        "struct in { short x; int y; }; struct c { int n; struct in a; struct in b[3]; } v = { 1, { 2, 3 }, { { 4, 5 }, { 6, 7 }, { 8, 9 } } };",
        "struct in { int y; long x; }; struct c { int n; struct in b[3]; struct in a; } v = { 1, { { 5, 4 }, { 7, 6 }, { 9, 8 } }, { 3, 2 } };",
    );
    assert!(recipe.steps.iter().any(|step| matches!(step, Step::Repeat { count: 3, .. })));
}

#[test]
fn anonymous_members_are_the_structure_s_own() {
    becomes(
        "struct c { int a; struct { int b; long c; }; int d; } v = { 1, { 2, 3 }, 4 };",
        "struct c { long c; int a, b; struct { int d; }; } v = { 3, 1, 2, { 4 } };",
    );
}

#[test]
fn unchanged_parts_keep_their_padding() {
    let builds = builds(
        "struct key { char a; int b; }; struct c { struct key k; int n; } v = { { 1, 2 }, 3 };",
        "struct key { char a; int b; }; struct c { int n; struct key k; } v = { 3, { 1, 2 } };",
        "-gdwarf-4",
    );
    let recipe = builds.recipe(&Rules::default()).expect("nothing to ask");
    let mut new = [0; 12];
    let old = [1, 0xee, 0xee, 0xee, 2, 0, 0, 0, 3, 0, 0, 0];
    recipe.apply(&old, &mut new, &super::context(&builds.old.debug.types)).expect("applies");
    assert_eq!(new, [3, 0, 0, 0, 1, 0xee, 0xee, 0xee, 2, 0, 0, 0]);
}

#[test]
fn arrays_shrink_where_nothing_is_lost() {
    let new = "struct c { int a[2]; int n; } v = { { 1, 2 }, 9 };";
    becomes("struct c { int a[4]; int n; } v = { { 1, 2, 0, 0 }, 9 };", new);
    let lost = "struct c { int a[4]; int n; } v = { { 1, 2, 0, 5 }, 9 };";
    let message = fails(lost, new);
    assert!(message.contains("struct c.a"), "{message}");
    becomes_with(lost, new, |_, new| Rules { may_lose: [new.place("c", "a")].into(), ..Rules::default() });
}

#[test]
fn arrays_grow_by_a_rule() {
    becomes_with(
        "struct c { short a[2]; int n; } v = { { 1, 2 }, 9 };",
        "struct c { int n; int a[4]; } v = { 9, { 1, 2, -1, -1 } };",
        |_, new| Rules { new_elements: [(new.place("c", "a"), constant(-1))].into(), ..Rules::default() },
    );
    becomes_with(
        "struct c { char name[4]; int n; } v = { \"abc\", 9 };",
        "struct c { char name[8]; int n; } v = { \"abc\", 9 };",
        |_, new| Rules {
            new_elements: [(new.place("c", "name"), rule(FieldSource::Constant(Value::Zero)))].into(),
            ..Rules::default()
        },
    );
}

#[test]
fn arrays_of_arrays() {
    becomes(
        "struct c { short m[2][3]; struct { char a; int b; } s[2][2]; } v = { { { 1, 2, 3 }, { 4, 5, 6 } }, { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } } };",
        "struct c { long m[2][3]; struct { int b; char a; } s[2][2]; } v = { { { 1, 2, 3 }, { 4, 5, 6 } }, { { { 2, 1 }, { 4, 3 } }, { { 6, 5 }, { 8, 7 } } } };",
    );
    becomes(
        "struct c { int m[3][4]; } v = { { { 1, 2, 0, 0 }, { 3, 4, 0, 0 } } };",
        "struct c { int m[2][2]; } v = { { { 1, 2 }, { 3, 4 } } };",
    );
}

#[test]
fn flexible_arrays_follow_the_end() {
    becomes(
        "struct c { int n; short data[]; } v = { 3, { 1, 2, 3 } };",
        "struct c { long n; short data[]; } v = { 3, { 1, 2, 3 } };",
    );
    let (old, new) =
        ("struct c { int n; short data[]; } v = { 3, { 1, 2, 3 } };", "struct c { int n; int data[]; } v = { 3, { 1, 2, 3 } };");
    let lengths = |count: &'static str| {
        move |old: super::Names<'_>, _: super::Names<'_>| {
            let length = crate::plan::data::rules::Length::Field(old.path("c", count));
            Rules { lengths: [(old.place("c", "data"), length)].into(), ..Rules::default() }
        }
    };
    becomes_with(old, new, lengths("n"));
    let message = fails_with("struct c { int n; short data[]; } v = { 30, { 1, 2, 3 } };", new, lengths("n"));
    assert!(message.contains("30 elements"), "{message}");
}

/// The new program clears every object.
struct Cleared(&'static [(u64, u64)]);

impl FreshValues for Cleared {
    fn is_zero(&self, _: TypeId, offset: u64, length: u64) -> bool {
        self.0.iter().any(|(start, end)| *start <= offset && offset + length <= *end)
    }
}

#[test]
fn what_the_new_program_clears_is_zero() {
    let builds =
        builds("struct c { int a; } v = { 1 };", "struct c { int a; int fresh; long other; } v = { 1, 0, 0 };", "-gdwarf-5");
    let recipe = builds.recipe_with(&Rules::default(), &Cleared(&[(0, 16)])).expect("all cleared");
    assert_eq!(builds.rewrite(&recipe).expect("applies"), super::Names(&builds.new).bytes("v"));
    assert!(recipe.origins.iter().all(|(_, origin)| *origin == Origin::Zero));
    let questions = builds.recipe_with(&Rules::default(), &Cleared(&[(4, 8)])).expect_err("one is not");
    assert_eq!(questions.iter().map(|question| question.field.as_str()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn a_variable_s_new_fields_take_its_initial_value() {
    let builds = builds(
        "struct c { int a; int b[2]; unsigned f : 3; } v = { 1, { 2, 3 }, 5 };",
        "struct c { int fresh; int a; int b[4]; unsigned f : 3, g : 4; } v = { 9, 0, { 0, 0, 7, 8 }, 0, 6 };",
        "-gdwarf-5",
    );
    let types = (&builds.old.debug.types, &builds.new.debug.types);
    let rules = Rules::default();
    let changes = builds.changes(&rules);
    let mut compiler = crate::plan::data::compile::Compiler::new(types, &rules, &changes, &crate::plan::data::compile::NoProofs);
    let (old, new) = (super::Names(&builds.old), super::Names(&builds.new));
    let pair = crate::plan::data::compile::VariablePair { old: old.variable("v").0, new: new.variable("v").0 };
    let recipe = compiler.variable((&builds.old, &builds.new), pair).expect("nothing to ask");
    let initial = new.bytes("v");
    let context = crate::plan::data::recipe::Context { initial: Some(&initial), ..super::context(types.0) };
    let mut made = vec![0; initial.len()];
    recipe.apply(&old.bytes("v"), &mut made, &context).expect("applies");
    let words: Vec<u32> = made.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect();
    assert_eq!(words, [9, 1, 2, 3, 7, 8, 5 | 6 << 3]);
}

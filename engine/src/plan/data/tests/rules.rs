//! Rules: renames, fields that move between levels, expressions, pointees, plugins, opaque types.

use std::sync::Arc;

use super::{Names, becomes_with, builds, constant, context, rule};
use crate::plan::data::recipe::{Found, Slot};
use crate::plan::data::rules::{FieldSource, FieldValue, Place, PluginId, Pointee, Rules};
use crate::plan::data::value::{ObjectView, Value, ValueError};

/// The value that a closure computes.
struct Computed<F>(F);

impl<F: Fn(&ObjectView<'_>) -> Result<Value, ValueError> + Send + Sync> FieldValue for Computed<F> {
    fn value(&self, old: &ObjectView<'_>) -> Result<Value, ValueError> {
        (self.0)(old)
    }

    fn describe(&self) -> String {
        "a closure".to_owned()
    }
}

fn computed(f: impl Fn(&ObjectView<'_>) -> Result<Value, ValueError> + Send + Sync + 'static) -> FieldSource {
    FieldSource::Expression(Arc::new(Computed(f)))
}

#[test]
fn a_renamed_field_is_carried() {
    becomes_with("struct c { int a; short old; } v = { 1, -2 };", "struct c { long name; int a; } v = { -2, 1 };", |old, new| {
        Rules { fields: [(new.place("c", "name"), rule(FieldSource::Old(old.path("c", "old"))))].into(), ..Rules::default() }
    });
}

#[test]
fn names_may_be_swapped() {
    becomes_with("struct c { int a, b; } v = { 1, 2 };", "struct c { int b, a; } v = { 1, 2 };", |old, new| {
        let from = |name: &str| rule(FieldSource::Old(old.path("c", name)));
        Rules { fields: [(new.place("c", "b"), from("a")), (new.place("c", "a"), from("b"))].into(), ..Rules::default() }
    });
}

#[test]
fn a_field_that_another_one_takes_its_value_from_is_carried_too() {
    let (old, new) = ("struct c { int used, room; } v = { 3, 8 };", "struct c { int used, room; long more; } v = { 3, 3, 7 };");
    becomes_with(old, new, |old, new| {
        let room = rule(FieldSource::Old(old.path("c", "used")));
        Rules { fields: [(new.place("c", "room"), room), (new.place("c", "more"), constant(7))].into(), ..Rules::default() }
    });
}

#[test]
fn fields_move_between_levels() {
    becomes_with(
        "struct c { int min, max; } v = { 1, 2 };",
        "struct c { struct { int max, min, step; } limits; } v = { { 2, 1, 5 } };",
        |old, new| {
            let from = |name: &str| rule(FieldSource::Old(old.path("c", name)));
            let fields = [
                (new.place("c", "limits.min"), from("min")),
                (new.place("c", "limits.max"), from("max")),
                (new.place("c", "limits.step"), constant(5)),
            ];
            Rules { fields: fields.into(), ..Rules::default() }
        },
    );
    becomes_with(
        "struct c { struct { int max, min; } limits; } v = { { 2, 1 } };",
        "struct c { int min, max; } v = { 1, 2 };",
        |old, new| {
            let from = |name: &str| rule(FieldSource::Old(old.path("c", name)));
            let fields = [(new.place("c", "min"), from("limits.min")), (new.place("c", "max"), from("limits.max"))];
            Rules { fields: fields.into(), ..Rules::default() }
        },
    );
}

#[test]
fn a_rule_reaches_into_a_type_that_did_not_change() {
    let source = "struct in { int a, b; }; struct c { struct in i, j; } v = { { 1, 2 }, { 3, 4 } };";
    becomes_with(source, &source.replace("{ 3, 4 }", "{ 3, 9 }"), |_, new| Rules {
        fields: [(new.place("c", "j.b"), constant(9))].into(),
        ..Rules::default()
    });
    becomes_with(source, &source.replace("2", "9").replace("4", "9"), |_, new| Rules {
        fields: [(new.place("in", "b"), constant(9))].into(),
        ..Rules::default()
    });
}

#[test]
fn expressions_read_the_old_object() {
    becomes_with(
        "struct in { int w, h; }; struct c { int n; struct in a[2]; char name[8]; unsigned f : 3; } v = { 3, { { 2, 5 }, { 3, 7 } }, \"abc\", 6 };",
        "struct in { int w, h; long area; }; struct c { struct in a[2]; char name[8]; int total, f; double half; } v = { { { 2, 5, 10 }, { 3, 7, 21 } }, \"abc\", 13, 6, 1.5 };",
        |_, new| {
            let number = |view: ObjectView<'_>| view.integer();
            let area = computed(move |old| Ok(Value::Integer(number(old.member("w")?)? * number(old.member("h")?)?)));
            let total = computed(move |old| {
                let rows = old.member("a")?;
                let sum = number(rows.element(0)?.member("h")?)? + number(rows.element(1)?.member("w")?)?;
                assert!(rows.element(2).is_err() && rows.length()? == 2 && old.member("none").is_err());
                Ok(Value::Integer(sum + old.member("name")?.text()?.len() as i128 + 2))
            });
            let half = computed(move |old| Ok(Value::Float(number(old.member("n")?)? as f64 / 2.0)));
            let fields = [("in", "area", area), ("c", "total", total), ("c", "half", half)];
            let fields = fields.into_iter().map(|(kind, name, source)| (new.place(kind, name), rule(source)));
            Rules { fields: fields.collect(), ..Rules::default() }
        },
    );
}

#[test]
fn an_expression_that_fails_names_object_field_and_rule() {
    let message = super::fails_with("struct c { int a; } v = { 1 };", "struct c { int a, b; } v;", |_, new| Rules {
        fields: [(new.place("c", "b"), rule(computed(|old| Ok(Value::Integer(old.member("nothing")?.integer()?)))))].into(),
        ..Rules::default()
    });
    assert!(message.contains("0x1000") && message.contains("struct c.b") && message.contains("update.toml:1:1"), "{message}");
}

#[test]
fn pointers_are_listed_with_what_they_lead_to() {
    let common = "struct t { int a; %s }; struct c { %p };";
    let source =
        |members: &str, pointers: &str| common.replace("%s", members).replace("%p", pointers) + " struct c v; struct t u;";
    let builds = builds(
        &source("", "struct t *a; void *b; int (*f)(int); struct t *list[2]; long kind; void *tagged;"),
        &source("long b;", "int n; void *b; struct t *a; struct t *list[2]; void *tagged; int (*f)(int); long kind;"),
        "-gdwarf-5",
    );
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let tagged = Pointee::ByTag { tag: old.path("c", "kind"), choices: [(0, None), (1, Some(old.kind("t")))].into() };
    let rules = Rules {
        fields: [(new.place("c", "n"), constant(0)), (new.place("t", "b"), constant(0))].into(),
        pointees: [(old.place("c", "b"), Pointee::Type(old.kind("t"))), (old.place("c", "tagged"), tagged)].into(),
        ..Rules::default()
    };
    let recipe = builds.recipe(&rules).expect("all answered");
    let context = context(&builds.old.debug.types);
    let slots = |kind: u8| {
        let mut bytes = vec![0; 56];
        bytes[40] = kind;
        let mut found = Vec::new();
        recipe.visit(&bytes, &context, &mut |one| found.push(one)).expect("visited");
        found.sort_by_key(|one| match one {
            Found::Pointer(slot) => slot.new,
            Found::Plugin(part) => part.new.0,
        });
        found
    };
    let (old_target, new_target) = (Some(old.kind("t")), Some(new.kind("t")));
    let slot = |old, new| Found::Pointer(Slot { old: Some(old), new, old_target, new_target });
    let untyped = Found::Pointer(Slot { old: Some(48), new: 40, old_target: None, new_target: None });
    assert_eq!(slots(1), [slot(8, 8), slot(0, 16), slot(24, 24), slot(32, 32), slot(48, 40)]);
    assert_eq!(slots(0), [slot(8, 8), slot(0, 16), slot(24, 24), slot(32, 32), untyped]);
    let mut bytes = vec![0; 56];
    bytes[40] = 2;
    assert!(recipe.visit(&bytes, &context, &mut |_| {}).is_err());
}

#[test]
fn plugins_take_their_types_and_opaque_ones_stay_bytes() {
    let builds = builds(
        "struct p { int a; }; struct o { int x; short y; }; struct c { int n; struct p list[2]; struct o o; } v = { 1, { { 2 }, { 3 } }, { 4, 5 } };",
        "struct p { int a, b; }; struct o { short y, z; int x; }; struct c { struct p list[2]; struct o o; int n; } v = { { }, { 4, 0, 5 }, 1 };",
        "-gdwarf-5",
    );
    let old = Names(&builds.old);
    let rules = Rules { plugins: [(old.kind("p"), PluginId(7))].into(), opaque: [old.kind("o")].into(), ..Rules::default() };
    let recipe = builds.recipe(&rules).expect("all answered");
    assert_eq!(builds.rewrite(&recipe).expect("applies"), Names(&builds.new).bytes("v"));
    let mut parts = Vec::new();
    let context = context(&builds.old.debug.types);
    recipe.visit(&old.bytes("v"), &context, &mut |found| parts.push(found)).expect("visited");
    let places: Vec<_> = parts
        .iter()
        .map(|found| match found {
            Found::Plugin(part) => (part.plugin, part.old, part.new),
            Found::Pointer(slot) => panic!("{slot:?}"),
        })
        .collect();
    assert_eq!(places, [(PluginId(7), (4, 4), (0, 8)), (PluginId(7), (8, 4), (8, 8))]);
    let changes = builds.changes(&rules);
    assert!(changes.changed(Some(old.kind("p"))) && !changes.changed(Some(old.kind("o"))));
}

#[test]
fn variables_have_rules_of_their_own() {
    let builds = builds("struct c { int a; } v = { 1 };", "struct c { int a; } v = { 5 };", "-gdwarf-5");
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let pair = crate::plan::data::compile::VariablePair { old: old.variable("v").0, new: new.variable("v").0 };
    let place = Place { path: new.path("c", "a"), ..Place::variable(pair.new) };
    let rules = Rules { fields: [(place, constant(5))].into(), ..Rules::default() };
    let changes = builds.changes(&rules);
    let types = (&builds.old.debug.types, &builds.new.debug.types);
    let mut compiler = crate::plan::data::compile::Compiler::new(types, &rules, &changes, &crate::plan::data::compile::NoProofs);
    let recipe = compiler.variable((&builds.old, &builds.new), pair).expect("answered");
    assert_eq!(builds.rewrite(&recipe).expect("applies"), new.bytes("v"));
}

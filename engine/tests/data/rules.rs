//! The user's answers on untyped places steer the walk.

use std::collections::HashMap;

use dsu_engine::plan::walk::{Choice, Interest, Place, Pointee, Problem, Root, Structural};
use dsu_engine::program::types::TypeId;

use crate::scene::Scene;
use crate::walk::{STRUCT, item_of, scene, walked_with};

/// Interest by structure, with answers.
struct Ruled {
    structural: Structural,
    pointees: Vec<(Root, Vec<u32>, Pointee)>,
    members: Vec<(Root, Vec<u32>, Choice)>,
    lengths: Vec<(Root, Vec<u32>, u64)>,
}

impl Ruled {
    fn new(scene: &Scene) -> Self {
        let types = &scene.build.debug.types;
        let structural = Structural::new(types, [item_of(types)]);
        Self { structural, pointees: Vec::new(), members: Vec::new(), lengths: Vec::new() }
    }
}

fn find<'a, T>(rules: &'a [(Root, Vec<u32>, T)], place: Place<'_>) -> Option<&'a T> {
    rules.iter().find(|rule| (rule.0, rule.1.as_slice()) == (place.root, place.path)).map(|rule| &rule.2)
}

impl Interest for Ruled {
    fn changed(&self, kind: TypeId) -> bool {
        self.structural.changed(kind)
    }

    fn leads(&self, kind: TypeId) -> bool {
        self.structural.leads(kind)
    }

    fn pointee(&self, place: Place<'_>) -> Option<Pointee> {
        find(&self.pointees, place).cloned()
    }

    fn member(&self, place: Place<'_>) -> Option<Choice> {
        find(&self.members, place).cloned()
    }

    fn has_length(&self, place: Place<'_>) -> bool {
        find(&self.lengths, place).is_some()
    }

    fn length(&self, place: Place<'_>, _object: &[u8]) -> Option<u64> {
        find(&self.lengths, place).copied()
    }
}

fn variable(scene: &Scene, name: &str) -> Root {
    let position = scene.build.debug.variables.iter().position(|variable| variable.name == name);
    Root::Variable(position.expect("the variable") as u32)
}

fn suspect(scene: &Scene) -> u64 {
    let line = scene.program.said.iter().find_map(|line| line.strip_prefix("S "));
    u64::from_str_radix(line.expect("the program says it"), 16).unwrap()
}

#[test]
fn a_pointee_rule_explains_a_block_behind_a_void_pointer() {
    let scene = scene(&["untyped"], &["-O0"]);
    let mut rules = Ruled::new(&scene);
    rules.pointees.push((variable(&scene, "untyped"), Vec::new(), Pointee::Type(item_of(&scene.build.debug.types))));
    let walked = walked_with(&scene, &rules);
    assert_eq!(walked.problems, []);
    assert!(walked.found.iter().any(|found| found.address.0 == suspect(&scene) && found.whole && found.count == 1));
}

#[test]
fn a_block_that_the_user_calls_opaque_is_not_told() {
    let scene = scene(&["untyped"], &["-O0"]);
    let mut rules = Ruled::new(&scene);
    rules.pointees.push((variable(&scene, "untyped"), Vec::new(), Pointee::Opaque));
    let walked = walked_with(&scene, &rules);
    assert_eq!(walked.problems, []);
    assert!(walked.cleared.iter().any(|cleared| cleared.address.0 == suspect(&scene) && cleared.reason.contains("bytes")));
}

#[test]
fn a_tag_chooses_the_member_of_a_union_and_one_without_a_rule_is_told() {
    let scene = scene(&["union"], &["-O0"]);
    let holder = scene.build.debug.types.definitions(STRUCT, "holder")[0];
    let choice = |value: i128| Choice { tag: vec![0], members: HashMap::from([(value, Some(0))]), otherwise: None };
    let mut rules = Ruled::new(&scene);
    rules.members.push((Root::Type(holder), vec![1], choice(0)));
    let walked = walked_with(&scene, &rules);
    assert_eq!(walked.problems, []);
    assert!(walked.found.iter().any(|found| found.address.0 == suspect(&scene)));
    rules.members[0].2 = choice(1);
    let problems = walked_with(&scene, &rules).problems;
    assert!(
        matches!(&problems[0], Problem::Tag { path, value: 0, .. } if path == "struct holder.either in holder"),
        "{problems:?}"
    );
}

#[test]
fn a_length_rule_counts_for_more_than_the_size_of_the_block_and_must_fit() {
    let scene = scene(&["arrays", "37"], &["-O0"]);
    let mut rules = Ruled::new(&scene);
    rules.lengths.push((variable(&scene, "array"), Vec::new(), 20));
    let walked = walked_with(&scene, &rules);
    let found = walked.found.iter().find(|found| (20..=37).contains(&found.count)).expect("the array");
    // Pointers lead to further elements; the rule does not hide them.
    assert!(found.most >= 20);
    rules.lengths[0].2 = 38;
    let problems = walked_with(&scene, &rules).problems;
    assert!(
        problems.iter().any(|problem| matches!(problem, Problem::Length { path, count: 38, .. } if path == "array")),
        "{problems:?}"
    );
}

//! Pairs of small programs and what differs between their types.

use gimli::constants as dw;

use super::{Comparison, Difference, DifferenceKind, changed_named_types, compare};
use crate::program::build::Build;
use crate::program::testing::Compiled;
use crate::program::types::TypeId;

fn build(source: &str) -> Build {
    Compiled::new("types", &format!("{source}\nint main(void) {{ return 0; }}\n"), &["-g", "-w"]).build()
}

/// Compares the types of the variable `v` in both sources.
fn of_v(old: &str, new: &str) -> Result<(), Difference> {
    let (old, new) = (build(old), build(new));
    let kind = |build: &Build| build.debug.variables.iter().find(|variable| variable.name == "v").expect("v").kind;
    compare(&old.debug.types, kind(&old), &new.debug.types, kind(&new))
}

fn difference(old: &str, new: &str) -> (DifferenceKind, String) {
    let difference = of_v(old, new).expect_err("a difference");
    (difference.kind, difference.path)
}

#[test]
fn names_of_types_do_not_count() {
    let old = "typedef int count; struct a { count n; struct a *next; long long x; } v;";
    let new = "typedef struct b box; struct b { const int n; box *next; long x; }; volatile box v;";
    assert_eq!(of_v(old, new), Ok(()));
}

#[test]
fn recursive_types_are_the_same_and_differ_behind_pointers() {
    let list = |extra: &str| {
        format!("struct t; struct l {{ struct l *next; struct t *t; }}; struct t {{ struct l *all; {extra} }}; struct l v;")
    };
    assert_eq!(of_v(&list("int n;"), &list("int n;")), Ok(()));
    let found = of_v(&list("int n;"), &list("int n, m;")).expect_err("differs");
    assert_eq!((found.kind, found.path.as_str()), (DifferenceKind::MemberAdded, "struct t.m"));
    assert_eq!(found.reached, "struct l.t*.m");
    assert_eq!((found.old.as_str(), found.new.as_str()), ("nothing", "int at offset 12"));
}

#[test]
fn members_are_added_removed_moved_retyped_and_renamed() {
    let v = |members: &str| format!("struct c {{ {members} }} v;");
    let base = v("int a; int b;");
    let found = |members: &str| difference(&base, &v(members));
    let path = |kind, path: &str| (kind, path.to_owned());
    assert_eq!(found("int a; int b; int c;"), path(DifferenceKind::MemberAdded, "struct c.c"));
    assert_eq!(found("int a;"), path(DifferenceKind::MemberRemoved, "struct c.b"));
    assert_eq!(found("int b; int a;"), path(DifferenceKind::MemberMoved, "struct c.a"));
    assert_eq!(found("int a; unsigned b;"), path(DifferenceKind::Encoding, "struct c.b"));
    assert_eq!(found("int a; char b;").0, DifferenceKind::Size);
    assert_eq!(found("int a; int *b;").0, DifferenceKind::MemberMoved);
    assert_eq!(found("int a; int other;"), path(DifferenceKind::MemberRenamed, "struct c.b"));
    assert_eq!(found("int a; int b __attribute__((aligned(16)));").0, DifferenceKind::MemberMoved);
}

#[test]
fn a_field_in_padding_is_a_difference() {
    let found = of_v("struct c { char a; int b; } v;", "struct c { char a; char fresh; int b; } v;").expect_err("differs");
    assert_eq!((found.kind, found.path.as_str()), (DifferenceKind::MemberAdded, "struct c.fresh"));
}

#[test]
fn bit_fields_compare_by_bits() {
    assert_eq!(of_v("struct c { unsigned a : 3, b : 5; } v;", "struct c { unsigned a : 3, b : 5; } v;"), Ok(()));
    assert_eq!(
        difference("struct c { unsigned a : 3, b : 5; } v;", "struct c { unsigned a : 4, b : 4; } v;"),
        (DifferenceKind::MemberMoved, "struct c.a".to_owned())
    );
}

#[test]
fn enums_may_grow_but_not_change() {
    assert_eq!(of_v("enum e { A, B } v;", "enum e { A, B, C } v;"), Ok(()));
    assert_eq!(
        difference("enum e { A, B } v;", "enum e { C, A, B } v;"),
        (DifferenceKind::EnumeratorChanged, "enum e.A".to_owned())
    );
    assert_eq!(difference("enum e { A, B } v;", "enum e { A } v;"), (DifferenceKind::EnumeratorRemoved, "enum e.B".to_owned()));
    assert_eq!(
        difference("enum e { A, B } v;", "enum e { A, X } v;"),
        (DifferenceKind::EnumeratorRenamed, "enum e.B".to_owned())
    );
    assert_eq!(difference("enum e { A, B } v;", "enum e { A, B, C = 1L << 40 } v;").0, DifferenceKind::Size);
}

#[test]
fn arrays_unions_and_anonymous_members() {
    assert_eq!(of_v("int v[2][3];", "typedef int row[3]; row v[2];"), Ok(()));
    assert_eq!(difference("int v[4];", "int v[5];").0, DifferenceKind::Length);
    assert_eq!(of_v("union u { int a; char b[4]; } v;", "union u { char b[4]; int a; } v;"), Ok(()));
    let anonymous = |inner: &str| format!("struct s {{ int k; union {{ long n; {inner} }}; }} v;");
    assert_eq!(of_v(&anonymous("char *p;"), &anonymous("char *p;")), Ok(()));
    assert_eq!(
        difference(&anonymous("char *p;"), &anonymous("long p;")),
        (DifferenceKind::Kind, "struct s.(anonymous).p".to_owned())
    );
}

#[test]
fn function_pointers_compare_their_parameters_shallowly() {
    let pointer = |parameters: &str, members: &str| format!("struct c {{ {members} }}; int (*v)({parameters}); struct c u;");
    assert_eq!(of_v(&pointer("struct c *c, int n", "int a;"), &pointer("struct c *c, int n", "int a, b;")), Ok(()));
    assert_eq!(
        difference(&pointer("struct c *c", "int a;"), &pointer("struct c *c, int n", "int a;")).0,
        DifferenceKind::Signature
    );
    assert_eq!(difference(&pointer("int n", "int a;"), &pointer("long n", "int a;")).0, DifferenceKind::Signature);
}

#[test]
fn opaque_types_are_the_same_by_name_only() {
    assert_eq!(of_v("struct o *v;", "struct o *v;"), Ok(()));
    assert_eq!(difference("struct o *v;", "struct p *v;").0, DifferenceKind::Incomplete);
    assert_eq!(difference("struct o *v;", "struct o { int a; } *v;").0, DifferenceKind::Incomplete);
}

#[test]
fn kinds_and_void_differ() {
    assert_eq!(of_v("void *v;", "const void *v;"), Ok(()));
    assert_eq!(difference("void *v;", "int *v;").0, DifferenceKind::Kind);
    assert_eq!(difference("long v;", "int *v;").0, DifferenceKind::Kind);
    assert_eq!(difference("float v;", "int v;").0, DifferenceKind::Encoding);
}

#[test]
fn a_difference_behind_a_pointer_leaves_the_own_layout_alone() {
    let source = |members: &str| {
        format!("struct t {{ {members} }}; struct l {{ struct t *t; struct t held; }} held; struct p {{ struct t *t; }} v;")
    };
    let (old, new) = (build(&source("int a;")), build(&source("int b, c;")));
    let named = |build: &Build, name: &str| build.debug.types.definitions(dw::DW_TAG_structure_type.0, name).first().copied();
    let mut comparison = Comparison::new(&old.debug.types, &new.debug.types);
    assert_eq!(comparison.compare_own(named(&old, "p"), named(&new, "p")), Ok(()));
    assert!(comparison.compare(named(&old, "p"), named(&new, "p")).is_err());
    assert!(comparison.compare_own(named(&old, "l"), named(&new, "l")).is_err());
    let names: Vec<_> = changed_named_types(&old.debug.types, &new.debug.types).into_iter().map(|change| change.name).collect();
    assert_eq!(names, ["struct l", "struct t"]);
}

#[test]
fn changed_types_list_every_difference() {
    let (old, new) = (
        build("struct c { int a, b, gone; } v; enum e { A } u;"),
        build("struct c { int a, b; long c; char d; } v; enum e { B } u;"),
    );
    let changes = changed_named_types(&old.debug.types, &new.debug.types);
    let named: Vec<_> = changes.iter().map(|change| (change.name.as_str(), change.differences.len())).collect();
    assert_eq!(named, [("enum e", 1), ("struct c", 4)]);
    assert!(changed_named_types(&old.debug.types, &old.debug.types).is_empty());
}

#[test]
fn same_names_for_different_structures_stay_apart() {
    let a = "struct node { int a; struct node *next; }; struct list { struct node *first; } v;";
    let b = "struct node { char *b; struct node *next; }; struct list { struct node *first; } u;";
    let changed = "struct node { char *b; int fresh; struct node *next; }; struct list { struct node *first; } u;";
    let program =
        |second: &str| Compiled::files(&[("a", a), ("b", second), ("main", "int main(void) { return 0; }")], &["-g"]).build();
    let (old, new) = (program(b), program(changed));
    let kind =
        |build: &Build, name: &str| build.debug.variables.iter().find(|variable| variable.name == name).expect("variable").kind;
    let mut comparison = Comparison::new(&old.debug.types, &new.debug.types);
    assert_eq!(comparison.compare(kind(&old, "v"), kind(&new, "v")), Ok(()));
    let found = comparison.compare(kind(&old, "u"), kind(&new, "u")).expect_err("b.c's node changed");
    assert!(found.path.starts_with("struct node."), "{found}");
    assert_eq!(changed_named_types(&old.debug.types, &new.debug.types).len(), 1);
}

#[test]
fn copies_of_a_structure_without_a_name_are_one() {
    let unit = |name: &str| {
        format!("#line 1 \"types.h\"\ntypedef struct {{ int a; }} unnamed;\nstruct holder {{ unnamed *u; }} {name};\n")
    };
    let build =
        Compiled::files(&[("a", &unit("v")), ("b", &unit("u")), ("main", "int main(void) { return 0; }")], &["-g"]).build();
    let types = &build.debug.types;
    let all = (0..types.types.len() as u32).map(TypeId).filter(|id| types.get(*id).name == "unnamed");
    let normal: Vec<_> = all.map(|id| types.normal(Some(id))).collect();
    assert_eq!(normal.len(), 2);
    assert_eq!(normal[0], normal[1]);
}

#[test]
fn a_known_new_name_is_no_difference() {
    let (old, new) = (build("struct c { int a; int b; } v;"), build("struct c { int a; int other; } v;"));
    let named = |build: &Build| build.debug.types.definitions(dw::DW_TAG_structure_type.0, "c").first().copied();
    let renamed = [(named(&new).expect("c"), vec![(1, 1)])].into_iter().collect();
    let mut comparison = Comparison::with_renamed(&old.debug.types, &new.debug.types, renamed);
    assert_eq!(comparison.compare(named(&old), named(&new)), Ok(()));
    assert!(compare(&old.debug.types, named(&old), &new.debug.types, named(&new)).is_err());
}

//! Which types change, and which lead to one that does.

use super::{Builds, Names, builds};
use crate::plan::data::compile::{Compiler, NoProofs, Recipes};
use crate::plan::data::rules::{Pointee, Rules};
use crate::plan::data::{Partner, change::TypeChanges};

fn changed(changes: &TypeChanges, old: Names<'_>, names: &[&str]) -> Vec<(bool, bool)> {
    names.iter().map(|name| (changes.changed(Some(old.kind(name))), changes.leads_to_change(Some(old.kind(name))))).collect()
}

fn both(source: impl Fn(&str) -> String, old: &str, new: &str) -> Builds {
    builds(&source(old), &source(new), "-gdwarf-5")
}

#[test]
fn changes_flow_by_value_and_leads_through_pointers() {
    let source = |members: &str| {
        format!(
            "struct t {{ int a; {members} }}; struct holds {{ struct t t[2]; }}; struct points {{ struct t *t; }};
             struct far {{ struct points *p; struct far *next; }}; struct plain {{ int x; char *s; }};
             struct hidden {{ void *data; }}; struct calls {{ int (*f)(struct t *); }};
             struct all {{ struct holds a; struct far b; struct plain c; struct hidden d; struct calls e; }} *v;"
        )
    };
    let builds = both(source, "", "long b;");
    let old = Names(&builds.old);
    let names = ["t", "holds", "points", "far", "plain", "hidden", "calls", "all"];
    let found = changed(&builds.changes(&Rules::default()), old, &names);
    let (no, leads, yes) = ((false, false), (false, true), (true, true));
    assert_eq!(found, [yes, yes, leads, leads, no, no, no, yes]);
    let rules = Rules { pointees: [(old.place("hidden", "data"), Pointee::Type(old.kind("far")))].into(), ..Rules::default() };
    assert_eq!(changed(&builds.changes(&rules), old, &names)[5], leads);
    // What holds a type by value changes with it, whatever is done with its bytes.
    let rules = Rules { opaque: [old.kind("t")].into(), ..Rules::default() };
    assert_eq!(changed(&builds.changes(&rules), old, &names), [no, yes, no, no, no, no, no, yes]);
}

#[test]
fn nothing_changes_between_equal_builds() {
    let source =
        "typedef struct { int a; union { int x; char *y; }; } t; enum e { A }; struct l { struct l *next; t *t; enum e e; } v;";
    let builds = builds(source, source, "-gdwarf-4");
    let changes = builds.changes(&Rules::default());
    assert!(changes.is_empty() && changes.list().is_empty());
}

#[test]
fn types_without_a_name_pair_by_typedef_and_by_place() {
    let source = |members: &str| {
        format!("typedef struct {{ int a; {members} }} t; struct c {{ t *t; struct {{ char x; {members} }} *inner; }} v;")
    };
    let builds = both(source, "", "int b;");
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let changes = builds.changes(&Rules::default());
    assert_eq!(changes.partner(old.kind("t")), &Partner::One(new.kind("t")));
    assert_eq!(changes.list().len(), 2);
}

#[test]
fn a_type_of_another_name_is_doubtful_until_a_rule_says_so() {
    let builds = builds(
        "struct old { int a; }; struct c { struct old *p; } v;",
        "struct name { int a, b; }; struct c { struct name *p; } v;",
        "-gdwarf-5",
    );
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let changes = builds.changes(&Rules::default());
    assert_eq!(changes.partner(old.kind("old")), &Partner::Doubtful(vec![new.kind("name")]));
    assert_eq!(changed(&changes, old, &["old", "c"]), [(true, true), (true, true)]);
    let rules = Rules { types: [(old.kind("old"), new.kind("name"))].into(), ..Rules::default() };
    let changes = builds.changes(&rules);
    assert_eq!(changes.partner(old.kind("old")), &Partner::One(new.kind("name")));
    assert_eq!(changed(&changes, old, &["old", "c"]), [(true, true), (false, true)]);
}

#[test]
fn a_type_of_another_name_and_the_same_structure_is_the_same() {
    let builds = builds(
        "struct old { int a; }; struct c { struct old *p; int x; } v;",
        "struct name { int a; }; struct c { struct name *p; int x; } v;",
        "-gdwarf-5",
    );
    assert!(builds.changes(&Rules::default()).is_empty());
}

#[test]
fn a_plain_rename_changes_no_byte() {
    let builds = builds("struct c { int a; int old; } v;", "struct c { int a; int name; } v;", "-gdwarf-5");
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    assert!(builds.changes(&Rules::default()).changed(Some(old.kind("c"))));
    let from = super::rule(crate::plan::data::rules::FieldSource::Old(old.path("c", "old")));
    let rules = Rules { fields: [(new.place("c", "name"), from)].into(), ..Rules::default() };
    assert!(builds.changes(&rules).is_empty());
    assert!(builds.recipe(&rules).expect("answered").is_plain());
}

#[test]
fn all_recipes_and_questions_of_a_program() {
    let source = |members: &str| {
        format!("struct t {{ int a; {members} }}; struct l {{ struct l *next; struct t *t; }} v; struct u {{ int x; }} w;")
    };
    let builds = both(source, "", "int b, c;");
    let old = Names(&builds.old);
    let rules = Rules::default();
    let changes = builds.changes(&rules);
    let types = (&builds.old.debug.types, &builds.new.debug.types);
    let recipes = Recipes::new(&mut Compiler::new(types, &rules, &changes, &NoProofs));
    assert_eq!(recipes.len(), 2);
    assert!(recipes.get(old.kind("l")).expect("leads").as_ref().expect("nothing to ask").is_plain());
    assert!(recipes.get(old.kind("u")).is_none());
    let fields: Vec<_> = recipes.questions().into_iter().map(|question| question.field).collect();
    assert_eq!(fields, ["b", "c"]);
}

#[test]
fn of_two_structures_of_one_name_the_one_with_an_equal_leaves_the_other_to_the_other() {
    use crate::program::testing::Compiled;
    // The program's own `dict` moves out of the header whose name it shares with a library's.
    let own = |place: &str, members: &str| {
        format!("#line 10 \"{place}\"\nstruct dict {{ void *table; {members} }};\n#line 1 \"own.c\"\nstruct dict *own;")
    };
    let library =
        "#line 10 \"dict.h\"\nstruct dict { int size; struct dict *next; };\n#line 1 \"library.c\"\nstruct dict *theirs;";
    let program = |place: &str, members: &str| {
        let main = format!("{}\nint main(void) {{ return 0; }}", own(place, members));
        // Who uses it sees no more of it than its name once it has moved.
        let header =
            if place == "dict.h" { own(place, members).replace("struct dict *own;", "") } else { "struct dict;".to_owned() };
        let user = format!("{header}\nstruct user {{ struct dict *found; int number; }} user;");
        Compiled::files(&[("own", &main), ("library", library), ("user", &user)], &["-gdwarf-5"]).build()
    };
    let (old, new) = (program("dict.h", "int a;"), program("dict.c", "int a, b;"));
    let (old_table, new_table) = (&old.debug.types, &new.debug.types);
    let changes = TypeChanges::new(old_table, new_table, &Rules::default(), &[]);
    let of = |table: &crate::program::types::TypeTable, member: &str| {
        let all = table.definitions(gimli::DW_TAG_structure_type.0, "dict").iter().map(|id| table.canonical(*id));
        all.into_iter().find(|id| table.member_path(Some(*id), member).is_some()).expect("a dict")
    };
    assert_eq!(changes.partner(of(old_table, "table")), &Partner::One(of(new_table, "table")));
    assert_eq!(changes.partner(of(old_table, "size")), &Partner::One(of(new_table, "size")));
    let user = old_table.canonical(old_table.definitions(gimli::DW_TAG_structure_type.0, "user")[0]);
    assert!(!changes.changed(Some(user)) && changes.leads_to_change(Some(user)));
}

#[test]
fn statics_of_one_name_in_two_files_stay_apart() {
    use crate::program::testing::Compiled;
    let node = |members: &str| format!("struct node {{ {members} struct node *next; }} %;");
    let program = |a: &str, b: &str| {
        let (a, b) = (node(a).replace('%', "v"), node(b).replace('%', "u"));
        Compiled::files(&[("main", "int main(void) { return 0; }"), ("a", &a), ("b", &b)], &["-g", "-O2"]).build()
    };
    let (old, new) = (program("int a;", "char *b;"), program("int a;", "char *b; int fresh;"));
    let changes = TypeChanges::new(&old.debug.types, &new.debug.types, &Rules::default(), &[]);
    let kind = |name: &str| {
        let kind = old.debug.variables.iter().find(|variable| variable.name == name).expect("variable").kind;
        old.debug.types.normal(kind)
    };
    assert!(!changes.leads_to_change(kind("v")));
    assert!(changes.changed(kind("u")));
}

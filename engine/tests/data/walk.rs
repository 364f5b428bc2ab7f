//! The typed walk against what a program says that it has.

use std::collections::BTreeSet;
use std::time::Duration;

use dsu_engine::plan::heap::HeapView;
use dsu_engine::plan::walk::{Interest, Nothing, Problem, Structural, Walked, walk};
use dsu_engine::program::types::{TypeId, TypeTable};

use crate::scene::{Scene, compile};

pub const STRUCT: u16 = 0x13;

pub fn scene(what: &[&str], flags: &[&str]) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    Scene::new(&compile("shapes", directory.path(), "shapes", flags), what)
}

pub fn item_of(types: &TypeTable) -> TypeId {
    types.definitions(STRUCT, "item")[0]
}

pub fn walked(scene: &Scene) -> Walked {
    let types = &scene.build.debug.types;
    walked_with(scene, &Structural::new(types, [item_of(types)]))
}

pub fn walked_with(scene: &Scene, interest: &dyn Interest) -> Walked {
    let heap = scene.heap();
    assert!(matches!(heap, HeapView::Readable(_)), "{heap:?}");
    walk(&scene.walk(&scene.memory(), &heap, interest))
}

/// Addresses of all items found, those of arrays and within other objects one by one.
fn items(scene: &Scene, walked: &Walked) -> BTreeSet<u64> {
    let types = &scene.build.debug.types;
    let (size, item) = (types.size_of(Some(item_of(types))).unwrap(), item_of(types));
    let mut all = BTreeSet::new();
    for found in &walked.found {
        let whole = types.size_of(Some(found.kind)).unwrap();
        for number in 0..u64::from(found.most) {
            let start = found.address.0 + number * whole;
            if found.kind == item {
                all.insert(start);
            } else if types.get(found.kind).name == "entry" {
                all.insert(start + whole - size);
            }
        }
    }
    all
}

fn said(scene: &Scene, what: &str) -> BTreeSet<u64> {
    let lines = scene.program.said.iter().filter_map(|line| line.strip_prefix(what));
    lines.map(|line| u64::from_str_radix(line.trim(), 16).unwrap()).collect()
}

fn assert_all_found(scene: &Scene, walked: &Walked) {
    assert_eq!(walked.problems, []);
    let (found, said) = (items(scene, walked), said(scene, "O "));
    let missing: Vec<_> = said.difference(&found).collect();
    let more: Vec<_> = found.difference(&said).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:x?}, too many {more:x?}");
    assert!(walked.found.windows(2).all(|pair| pair[0].range().end <= pair[1].address), "overlapping objects");
}

#[test]
fn lists_trees_tables_and_rings_are_walked_to_the_end() {
    for flags in [["-O0"], ["-O2"]] {
        for what in [["list", "500"], ["tree", "8"], ["table", "300"], ["ring", "0"]] {
            let scene = scene(&what, &flags);
            let walked = walked(&scene);
            assert_all_found(&scene, &walked);
            assert!(!walked.sites.is_empty(), "{what:?}");
            for site in &walked.sites {
                let mut word = [0; 8];
                dsu_engine::plan::source::MemorySource::read(&scene.memory(), site.address, &mut word).unwrap();
                let target = u64::from_le_bytes(word);
                assert!(
                    walked.found.iter().any(|found| found.range().contains(dsu_formats::address::RunAddress(target))),
                    "{site:x?}"
                );
            }
        }
    }
}

#[test]
fn arrays_have_as_many_elements_as_their_blocks_hold() {
    let scene = scene(&["arrays", "37"], &["-O1"]);
    let walked = walked(&scene);
    assert_all_found(&scene, &walked);
    let trailing = *said(&scene, "T ").first().unwrap();
    let found = walked.found.iter().find(|found| found.address.0 == trailing).expect("the flexible array's structure");
    assert!(found.whole && found.count == 1 && found.length >= 5 * 56, "{found:?}");
    let array = walked.found.iter().find(|found| found.count > 30).expect("the array");
    assert_eq!((array.count, array.most, array.whole), (37, 37, true));
}

#[test]
fn a_pointer_to_the_first_part_of_a_larger_object_leads_to_its_own_part_only() {
    let scene = scene(&["bases"], &["-O1"]);
    assert_all_found(&scene, &walked(&scene));
}

#[test]
fn variables_of_each_thread_are_roots() {
    let scene = scene(&["threads"], &["-O1"]);
    assert_all_found(&scene, &walked(&scene));
}

#[test]
fn objects_in_pools_are_found_by_their_pointers_and_said_to_be_parts() {
    let scene = scene(&["pool"], &["-O1"]);
    let walked = walked(&scene);
    assert_all_found(&scene, &walked);
    let parts = walked.found.iter().filter(|found| !found.whole).count();
    assert_eq!(parts, 3, "{:?}", walked.found);
}

#[test]
fn pointers_to_nothing_are_told_and_left() {
    let scene = scene(&["stale"], &["-O0"]);
    let walked = walked(&scene);
    assert_all_found(&scene, &walked);
    let mut what: Vec<Nothing> = walked.dangling.iter().map(|dangling| dangling.what).collect();
    what.sort_by_key(|what| *what as u8);
    assert_eq!(what, [Nothing::Unmapped, Nothing::FreeBlock]);
}

#[test]
fn one_block_under_two_types_and_a_tagged_pointer_are_problems() {
    let scene = scene(&["conflict"], &["-O0"]);
    let types = &scene.build.debug.types;
    let unrelated = types.definitions(STRUCT, "unrelated")[0];
    let both = walked_with(&scene, &Structural::new(types, [item_of(types), unrelated]));
    let [Problem::Conflict { first, second, first_path, second_path, .. }] = both.problems.as_slice() else {
        panic!("{:?}", both.problems)
    };
    let mut names = [(first.as_str(), first_path.as_str()), (second, second_path)];
    names.sort_unstable();
    assert_eq!(names, [("struct item", "first_kind"), ("struct unrelated", "second_kind")]);
    let scene = self::scene(&["tagged"], &["-O0"]);
    // Nobody else leads to the item: its block is told, too.
    let problems = walked(&scene).problems;
    assert!(
        matches!(problems.as_slice(), [Problem::Misaligned { path, .. }, Problem::Suspect { .. }] if path == "off"),
        "{problems:?}"
    );
}

#[test]
fn blocks_that_nobody_explains_are_told_with_who_points_to_them() {
    for (what, who) in [("untyped", "untyped"), ("union", "holder.either")] {
        let scene = scene(&[what], &["-O0"]);
        let suspect = *said(&scene, "S ").first().unwrap();
        let walked = walked(&scene);
        let [Problem::Suspect { address, kind, referrers, first_bytes, .. }] = walked.problems.as_slice() else {
            panic!("{what}: {:?}", walked.problems)
        };
        assert_eq!((address.0, kind.as_str()), (suspect, "struct item"));
        assert!(referrers.starts_with(who), "{referrers}");
        assert_eq!(first_bytes.len(), 64);
    }
}

#[test]
fn typed_pointers_say_what_a_block_is_unless_it_may_be_embedded_in_the_changed_type() {
    for (what, kind) in [("foreign", "struct foreign"), ("tails", "struct alike")] {
        let scene = scene(&[what], &["-O0"]);
        let walked = walked(&scene);
        assert_eq!(walked.problems, [], "{what}");
        let suspect = *said(&scene, "S ").first().unwrap();
        let cleared = walked.cleared.iter().find(|cleared| cleared.address.0 == suspect).expect("a cleared block");
        assert!(cleared.reason.contains(kind), "{cleared:?}");
    }
    // A list that runs through items' links.
    let scene = scene(&["embedded"], &["-O0"]);
    let suspect = *said(&scene, "S ").first().unwrap();
    let problems = walked(&scene).problems;
    assert!(matches!(problems.as_slice(), [Problem::Suspect { address, .. }] if address.0 == suspect), "{problems:?}");
}

#[test]
fn ordinary_programs_have_no_blocks_that_nobody_explains() {
    for flags in [["-O0"], ["-O2"]] {
        for what in
            [["list", "50"], ["tree", "6"], ["table", "100"], ["arrays", "9"], ["bases", ""], ["ordinary", ""], ["threads", ""]]
        {
            let scene = scene(&what, &flags);
            let walked = walked(&scene);
            assert_eq!(walked.problems, [], "{what:?}");
        }
    }
    let scene = scene(&["ordinary"], &["-O0"]);
    let cleared = walked(&scene).cleared;
    let reasons: Vec<&str> = cleared.iter().map(|cleared| cleared.reason.as_str()).collect();
    let told = |part: &str| reasons.iter().filter(|reason| reason.contains(part)).count();
    assert!(told("`struct unrelated`") + told("where a pointer would be") > 0, "{reasons:?}");
    assert_eq!(told("no word of the process"), 1, "the block that was given up: {reasons:?}");
}

#[test]
fn a_million_objects_are_walked_in_time_that_their_number_explains() {
    for what in [["list", "1000000"], ["tree", "20"], ["table", "1000000"]] {
        let scene = scene(&what, &["-O1"]);
        let types = &scene.build.debug.types;
        let interest = Structural::new(types, [item_of(types)]);
        let start = cpu_time();
        let heap = scene.heap();
        let read = cpu_time();
        let walked = walk(&scene.walk(&scene.memory(), &heap, &interest));
        let all = cpu_time();
        assert_eq!(walked.problems, []);
        assert!(walked.found.len() > 1_000_000, "{}", walked.found.len());
        let blocks = heap.heap().unwrap().len();
        // Processor time of this thread: other tests run beside.
        eprintln!("{what:?}: {blocks} blocks read in {:?}, {} objects walked in {:?}", read - start, walked.objects, all - read);
        // A walk that is not linear takes minutes.
        assert!(all - start < Duration::from_secs(60));
    }
}

fn cpu_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

//! Values of variables over pairs of programs that never run.

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::RunAddress;

use super::{Decisions, OldData, carry, decide, unknown_changes};
use crate::plan::abi;
use crate::plan::address::OldLink;
use crate::plan::blocker::Blocker;
use crate::plan::image::DataImage;
use crate::plan::pointers::Pointers;
use crate::plan::rewrite::Report;
use crate::plan::scan::sites::Sites;
use crate::plan::testing::{FakeMemory, OLD_BIAS, Pair, pair};
use crate::plan::words::Words;

/// The old program's data as it is when it starts: only relative relocations in these samples.
fn loaded(pair: &Pair) -> OldData {
    let mut initial = DataImage::initial(&pair.old.elf).unwrap();
    for relocation in pair.old.elf.relocations.iter().filter(|relocation| relocation.kind == abi::R_RELATIVE) {
        initial.set_word(relocation.address, OLD_BIAS.wrapping_add_signed(relocation.addend));
    }
    OldData { captured: initial.clone(), initial, bias: 0 }
}

fn set(data: &mut OldData, place: OldLink, bytes: &[u8]) {
    data.captured.slice_mut(place.0, bytes.len() as u64).unwrap().copy_from_slice(bytes);
}

fn decided(pair: &Pair, data: &OldData) -> (Decisions, Report) {
    let mut report = Report::default();
    let decisions = decide(&pair.comparison, data, &HashSet::new(), &mut report);
    (decisions, report)
}

fn carried(pair: &Pair, data: &OldData, decisions: &Decisions) -> (DataImage, Vec<Blocker>) {
    let mut image = DataImage::initial(&pair.new.elf).unwrap();
    let memory = FakeMemory::default();
    let describe = |_: RunAddress| None;
    let pointers =
        Pointers { view: pair.comparison.view(&pair.old, &pair.new), placement: pair.placement(), fates: &decisions.fates };
    let mut words = Words::new(pointers, &memory, 0, &describe, Vec::new(), Arc::default());
    let types = &pair.old.debug.types;
    let places = (&pair.placement(), &Sites::default());
    carry(&pair.comparison, types, data, &decisions.fates, places, &mut words, &mut image);
    (image, words.blockers)
}

#[test]
fn a_pointer_in_a_packed_structure_follows() {
    let source = |more: &str| {
        format!(
            "struct __attribute__((packed)) event {{ unsigned mask; void *data; }};
             {more} long value = 3; static struct event events[3];
             int main(void) {{ return events[0].mask + value; }}"
        )
    };
    let pair = pair(&source(""), &source("long before[5] = {1};"));
    let mut data = loaded(&pair);
    let events = pair.old_symbol("events");
    for index in 0..3 {
        set(&mut data, OldLink(events.0.offset(index * 12)), &7u32.to_le_bytes());
        set(&mut data, OldLink(events.0.offset(index * 12 + 4)), &pair.old_run("value").to_le_bytes());
    }
    let (decisions, _) = decided(&pair, &data);
    let (image, blockers) = carried(&pair, &data, &decisions);
    assert!(blockers.is_empty(), "{blockers:?}");
    let found = pair.new_symbol("events").0;
    for index in 0..3 {
        assert_eq!(image.word(found.offset(index * 12 + 4)), Some(pair.new_run("value")), "event {index}");
    }
}

#[test]
fn a_default_takes_the_new_one_and_a_value_is_kept() {
    let source = |start: u32, extra: &str| {
        format!("int kept = {start}; int left = {start}; {extra} int main(void) {{ return kept + left; }}")
    };
    let pair = pair(&source(1, ""), &source(2, "long more = 7;"));
    let mut data = loaded(&pair);
    set(&mut data, pair.old_symbol("kept"), &9u32.to_le_bytes());
    let (decisions, report) = decided(&pair, &data);
    assert!(decisions.blockers.is_empty());
    assert_eq!(report.globals_new, ["left", "more"]);
    assert!(report.warnings.iter().any(|warning| warning.starts_with("`kept` keeps its value")), "{:?}", report.warnings);
    let (image, blockers) = carried(&pair, &data, &decisions);
    let value = |name: &str| image.slice(pair.new_symbol(name).0, 4).unwrap()[0];
    assert_eq!((value("kept"), value("left"), value("more")), (9, 2, 7));
    assert_eq!(blockers, []);
}

#[test]
fn pointers_in_carried_variables_follow() {
    let source = |extra: &str| {
        format!(
            "{extra} static int f(int x) {{ return x + 1; }} struct link {{ struct link *next; int (*run)(int); long pad; }};
             struct link links[3] = {{{{0, f, 1}}}}; int main(int c, char **v) {{ (void)v; return links[c].run(c); }}"
        )
    };
    let pair = pair(&source(""), &source("long before[5] = {1}; int g(void) { return before[0]; }"));
    let mut data = loaded(&pair);
    let links = pair.old_symbol("links");
    set(&mut data, links, &(pair.old_run("links") + 24).to_le_bytes());
    set(&mut data, links.offset(24 + 16), &5u64.to_le_bytes());
    let (decisions, _) = decided(&pair, &data);
    let (image, blockers) = carried(&pair, &data, &decisions);
    assert_eq!(blockers, []);
    let word = |offset: u64| image.word(pair.new_symbol("links").offset(offset).0).unwrap();
    assert_eq!(word(0), pair.new_run("links") + 24);
    assert_eq!(word(8), pair.new_run("f"));
    assert_eq!((word(16), word(24 + 16)), (1, 5));
}

#[test]
fn a_value_whose_type_changes_is_rewritten_or_asked_about() {
    let decide = |old: &str, new: &str| {
        let source = |kind: &str| {
            format!(
                "struct pair {{ int a; }}; {kind} value; long use(void) {{ return sizeof value; }} int main(void) {{ return (int)use(); }}"
            )
        };
        let pair = pair(&source(old), &source(new));
        let mut data = loaded(&pair);
        assert!(decided(&pair, &data).0.blockers.is_empty(), "nobody has touched it");
        set(&mut data, pair.old_symbol("value"), &2u64.to_le_bytes());
        decided(&pair, &data).0
    };
    let rewritten = decide("long", "double");
    assert_eq!((rewritten.blockers.len(), rewritten.fates.recipes.len()), (0, 1));
    let asked = decide("long", "struct pair");
    assert!(
        matches!(asked.blockers.as_slice(), [Blocker::Question { question, .. }] if question.contains("value")),
        "{:?}",
        asked.blockers
    );
}

#[test]
fn a_dropped_value_is_named_with_its_twin() {
    let old = "int f(void) { static int count = 3; return ++count; } int main(void) { return f(); }";
    let new = "int g(void) { static int count = 3; return ++count; } int main(void) { return g(); }";
    let pair = pair(old, new);
    let mut data = loaded(&pair);
    let count = pair.comparison.sides.old.objects.list().iter().find(|object| object.identity.name == "count").unwrap().start;
    set(&mut data, OldLink(count), &8u32.to_le_bytes());
    let (_, report) = decided(&pair, &data);
    assert_eq!(report.globals_dropped, ["count"]);
    assert!(report.warnings[0].contains("`count of f()"), "{:?}", report.warnings);
}

#[test]
fn bytes_of_no_variable_that_changed_are_refused() {
    let source = "__asm__(\".data\\n.balign 16\\n.quad 1, 2, 3, 4\\n.text\"); int a = 1; int main(void) { return a; }";
    let pair = pair(source, source);
    let mut data = loaded(&pair);
    let found = |data: &OldData| unknown_changes(&pair.comparison, &pair.old.elf, data, &pair.placement());
    assert_eq!(found(&data), []);
    let section = pair.old.elf.section(".data").unwrap();
    let bytes = data.initial.slice(section.address, section.size).unwrap();
    let at = bytes.windows(8).position(|window| window == 3u64.to_le_bytes()).unwrap() as u64;
    set(&mut data, OldLink(section.address.offset(at)), &[0xee]);
    let expected = pair.placement().old_run(OldLink(section.address.offset(at))).0;
    assert_eq!(found(&data), [Blocker::UnknownData { address: expected, section: ".data".to_owned(), length: 1 }]);
}

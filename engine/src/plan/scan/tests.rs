//! Scans of memory that a test lays out.

use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::filter::Filter;
use super::sites::Sites;
use super::{scan, scan_shared};
use crate::plan::blocker::{Blocker, PointerReason};
use crate::plan::moves::Moves;
use crate::plan::rewrite::Patch;
use crate::plan::source::MemorySource;
use crate::plan::testing::{FakeMemory, OLD_BIAS, Pair, pair};
use crate::plan::words::{OldLiteral, Words};

const GUARD: u64 = 0x1234_5678_9abc_def0;
const HEAP: u64 = 0x5555_8000_0000;
const STACK: u64 = 0x7fff_0000_0000;

fn sample() -> Pair {
    let source = |body: &str, text: &str| {
        format!(
            "int __attribute__((noinline)) same(int x) {{ return x * 3 + 1; }}
             int __attribute__((noinline)) other(int x) {{ return {body}; }}
             const char *text = \"{text}\"; long value = 3;
             int main(int c, char **v) {{ (void)v; return same(c) + other(c) + text[0] + value; }}"
        )
    };
    pair(&source("same(x) + 2", "old words"), &source("same(x) * x * 7 - 2", "new words"))
}

struct Result {
    patches: Vec<Patch>,
    blockers: Vec<Blocker>,
    kept: usize,
    literals: Vec<OldLiteral>,
}

fn scanned(pair: &Pair, memory: &FakeMemory, sites: &Sites, literals: &[RunRange], moves: Moves) -> Result {
    let describe = |_: RunAddress| None;
    let old = literals.iter().map(|range| OldLiteral { range: *range, used: false }).collect();
    let filter = Filter::new(pair.placement().old_range(), literals, moves.ranges().collect(), GUARD);
    let mut words = Words::new(pair.pointers(), memory, GUARD, &describe, old, Arc::new(moves));
    let found = scan(memory.own_pages(), &filter, sites, &mut words).unwrap();
    assert_eq!(found.words, memory.own_pages().iter().map(RunRange::len).sum::<u64>() / 8);
    Result { patches: found.patches, blockers: words.blockers, kept: words.kept.len(), literals: words.literals }
}

#[test]
fn pointers_of_packed_structures_follow_also_from_page_to_page() {
    let pair = sample();
    let mut memory = FakeMemory::default();
    let ends = [HEAP + 4, HEAP + 28, HEAP + 0xffc];
    memory.put_word(HEAP + 0x1ff8, 0);
    for address in ends {
        memory.put(address, &pair.old_run("value").to_le_bytes());
    }
    let result = scanned(&pair, &memory, &Sites::default(), &[], Moves::default());
    assert_eq!(result.patches, ends.map(|address| Patch { address: RunAddress(address), word: pair.new_run("value") }));
}

#[test]
fn plain_and_mangled_words_follow_and_numbers_stay() {
    let pair = sample();
    let mut memory = FakeMemory::default();
    memory.put_word(HEAP, pair.old_run("same"));
    memory.put_word(HEAP + 8, (pair.old_run("value") ^ GUARD).rotate_left(17));
    memory.put_word(HEAP + 16, OLD_BIAS - 1);
    memory.put(HEAP + 25, &pair.old_run("same").to_le_bytes());
    memory.put_word(HEAP + 0x1ff8, pair.old_run("value") + 4);
    let result = scanned(&pair, &memory, &Sites::default(), &[], Moves::default());
    let expected = [
        (HEAP, pair.new_run("same")),
        (HEAP + 8, (pair.new_run("value") ^ GUARD).rotate_left(17)),
        (HEAP + 0x1ff8, pair.new_run("value") + 4),
    ];
    assert_eq!(result.patches, expected.map(|(address, word)| Patch { address: RunAddress(address), word }));
    assert_eq!(result.blockers, []);
}

#[test]
fn what_is_dead_or_decided_otherwise_is_left_alone() {
    let pair = sample();
    let mut memory = FakeMemory::default();
    for offset in [0, 8, 16] {
        memory.put_word(STACK + offset, pair.old_run("same"));
    }
    let sites =
        Sites { dead: vec![RunRange::new(STACK, STACK + 8)], handled: [RunAddress(STACK + 8)].into(), ..Sites::default() };
    let result = scanned(&pair, &memory, &sites, &[], Moves::default());
    assert_eq!(result.patches, [Patch { address: RunAddress(STACK + 16), word: pair.new_run("same") }]);
}

#[test]
fn a_place_inside_changed_code_blocks() {
    let pair = sample();
    let inside = pair.old_run("other") + 1;
    let mut memory = FakeMemory::default();
    memory.put_word(HEAP, inside);
    let result = scanned(&pair, &memory, &Sites::default(), &[], Moves::default());
    assert_eq!(result.patches, []);
    match result.blockers.as_slice() {
        [
            Blocker::Pointer {
                address,
                value,
                reason: PointerReason::InsideFunction { function, offset: 1 },
                passing: false,
                ..
            },
        ] => {
            assert_eq!((*address, value.0, function.as_str()), (Some(RunAddress(HEAP)), inside, "other"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_return_address_that_unwinding_did_not_find_is_a_leftover_where_nothing_switches_stacks() {
    let pair = sample();
    let return_to = |name: &str| {
        let symbol = pair.old.elf.symbols_named(name).next().unwrap();
        let code = pair.old.elf.file_bytes(symbol.address, symbol.size).unwrap();
        code.iter().position(|byte| *byte == 0xe8).unwrap() as u64 + 5
    };
    let mut memory = FakeMemory::default();
    memory.put_word(STACK, pair.old_run("main") + return_to("main"));
    memory.put_word(STACK + 8, pair.old_run("other") + return_to("other"));
    let stack = RunRange::new(STACK, STACK + 4096);
    let on_stack = |stale| Sites { stacks: vec![(stack, stale)], ..Sites::default() };
    let result = scanned(&pair, &memory, &on_stack(true), &[], Moves::default());
    let unchanged = Patch { address: RunAddress(STACK), word: pair.new_run("main") + return_to("main") };
    assert_eq!(result.patches, [unchanged]);
    assert_eq!(result.blockers, []);
    let result = scanned(&pair, &memory, &on_stack(false), &[], Moves::default());
    assert_eq!(result.patches, [unchanged]);
    assert!(matches!(result.blockers.as_slice(), [Blocker::Pointer { passing: true, .. }]), "{:?}", result.blockers);
}

#[test]
fn literals_are_kept_once_for_each_word_and_old_ones_counted() {
    let pair = sample();
    let text = crate::plan::testing::find_string(&pair.old, "old words").unwrap() + OLD_BIAS;
    let kept = OLD_BIAS - 0x10_0000;
    let mut memory = FakeMemory::default();
    memory.put(kept + 0x10, b"new words\0gone for ever\0");
    memory.put_word(HEAP, text);
    memory.put_word(HEAP + 8, kept + 0x10 + 4);
    let literal = RunRange::new(kept, kept + 4096);
    let result = scanned(&pair, &memory, &Sites::default(), &[literal], Moves::default());
    let found = crate::plan::testing::find_string(&pair.new, "new words").unwrap() + crate::plan::testing::NEW_BIAS;
    assert_eq!(result.patches, [Patch { address: RunAddress(HEAP + 8), word: found + 4 }]);
    assert_eq!(result.kept, 1);
    assert_eq!(result.literals, [OldLiteral { range: literal, used: false }]);
    memory.put_word(HEAP + 16, kept + 0x1a);
    let result = scanned(&pair, &memory, &Sites::default(), &[literal], Moves::default());
    assert_eq!(result.literals, [OldLiteral { range: literal, used: true }]);
}

#[test]
fn moved_objects_take_their_pointers_along() {
    let pair = sample();
    let block = 0x7f00_0000_1000;
    let moves = Moves::new(vec![(RunRange::new(block, block + 16), RunAddress(block + 0x100))]);
    let mut memory = FakeMemory::default();
    memory.put_word(HEAP, block + 8);
    memory.put_word(HEAP + 8, block + 16);
    let result = scanned(&pair, &memory, &Sites::default(), &[], moves);
    assert_eq!(result.patches, [Patch { address: RunAddress(HEAP), word: block + 0x108 }]);
}

#[test]
fn a_pointer_in_shared_memory_is_refused() {
    let pair = sample();
    let mut memory = FakeMemory::default();
    memory.put_word(HEAP + 64, pair.old_run("value"));
    let describe = |_: RunAddress| None;
    let filter = Filter::new(pair.placement().old_range(), &[], Vec::new(), GUARD);
    let mut words = Words::new(pair.pointers(), &memory, GUARD, &describe, Vec::new(), Arc::default());
    // The last page of the range cannot be read, as behind the end of a file.
    scan_shared(&[RunRange::new(HEAP, HEAP + 0x2000)], &filter, &mut words);
    assert_eq!(words.blockers.len(), 1);
    assert!(words.blockers[0].to_string().contains("`value` (program.c") || words.blockers[0].to_string().contains("value"));
}

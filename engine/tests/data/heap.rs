//! The heap reader against what a program says that it has.

use std::collections::HashMap;

use dsu_engine::plan::heap::{Heap, HeapDefect, HeapView, State};
use dsu_formats::address::RunAddress;

use crate::scene::{Scene, compile};

fn read(what: &str) -> (Scene, HeapView) {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::new(&compile("blocks", directory.path(), "blocks", &["-O1"]), &[what]);
    let heap = scene.heap();
    (scene, heap)
}

/// What the program has, by address, and what it gave back.
fn said(scene: &Scene) -> (HashMap<u64, u64>, Vec<u64>) {
    let (mut has, mut gave) = (HashMap::new(), Vec::new());
    for line in &scene.program.said {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| u64::from_str_radix(fields[at], 16).unwrap();
        match fields[0] {
            "U" => drop(has.insert(number(1), number(2))),
            _ => gave.push(number(1)),
        }
    }
    gave.retain(|address| !has.contains_key(address));
    (has, gave)
}

fn assert_right(scene: &Scene, heap: &Heap) {
    let (has, gave) = said(scene);
    for (address, usable) in &has {
        let (index, block) = heap.block_of(RunAddress(*address)).expect("a block of the program's");
        assert_eq!((block.address.0, block.usable, block.state), (*address, *usable, State::InUse));
        assert_eq!(heap.block(index), Some(block));
        let last = heap.block_of(RunAddress(address + usable - 1)).expect("its last byte");
        assert_eq!(last, (index, block));
    }
    for address in gave {
        let found = heap.block_of(RunAddress(address)).map(|(_, block)| block);
        let right = found.is_none_or(|block| block.state == State::Free || has.contains_key(&block.address.0));
        assert!(right, "{address:#x} was given back: {found:x?}");
    }
    // What else is in use is the C library's: buffers, thread-local vectors.
    let others: Vec<_> = heap
        .blocks()
        .filter(|(_, block)| block.state == State::InUse && !has.contains_key(&block.address.0))
        .map(|(_, block)| block)
        .collect();
    assert!(others.len() <= 8, "{} blocks too many in use: {others:x?}", others.len());
}

#[test]
fn every_block_of_the_program_is_found_and_no_other_is_in_use() {
    let (scene, heap) = read("plain");
    let HeapView::Readable(heap) = heap else { panic!("{heap:?}") };
    assert_eq!(heap.arenas().len(), 1);
    assert_right(&scene, &heap);
    let own = heap.blocks().filter(|(_, block)| block.state == State::Own).count();
    assert_eq!(own, 1, "the thread's cache");
}

#[test]
fn arenas_of_threads_and_their_further_heaps_are_read() {
    let (scene, heap) = read("threads");
    let HeapView::Readable(heap) = heap else { panic!("{heap:?}") };
    assert!(heap.arenas().len() > 2, "{:?}", heap.arenas());
    assert_right(&scene, &heap);
}

#[test]
fn blocks_with_mappings_of_their_own_are_found_among_other_mappings() {
    let (scene, heap) = read("mapped");
    let HeapView::Readable(heap) = heap else { panic!("{heap:?}") };
    assert!(heap.blocks().filter(|(_, block)| block.arena.is_none()).count() > 15);
    assert_right(&scene, &heap);
}

#[test]
fn a_main_arena_that_goes_on_in_a_mapping_is_read() {
    let (scene, heap) = read("blocked");
    let HeapView::Readable(heap) = heap else { panic!("{heap:?}") };
    assert_right(&scene, &heap);
}

#[test]
fn a_break_that_others_move_and_a_broken_header_are_told() {
    let (_scene, heap) = read("gap");
    assert!(matches!(heap, HeapView::Unreadable(HeapDefect::Arena { .. } | HeapDefect::Chunk { .. })), "{heap:?}");
    let (_scene, heap) = read("broken");
    assert!(matches!(heap, HeapView::Unreadable(HeapDefect::Chunk { .. })), "{heap:?}");
}

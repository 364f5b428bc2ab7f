//! Damaged heaps: whatever the words say, the answer is an answer.

use proptest::prelude::*;

use super::blocks::{Builder, State};
use super::chunks::walk;
use crate::plan::testing::FakeMemory;
use dsu_formats::address::RunAddress;

const START: u64 = 0x5000_0000;
const LIMIT: u64 = START + 0x8000;

/// Chunks of these sizes (in 16 bytes) and whether each is free, up to a top chunk. Gives the top chunk's address.
fn heap(memory: &mut FakeMemory, chunks: &[(u64, bool)]) -> u64 {
    memory.put(START, &[0; (LIMIT - START) as usize]);
    let mut at = START;
    let mut free = None;
    for (units, is_free) in chunks {
        let size = units * 16;
        memory.put_word(at, free.unwrap_or(0));
        memory.put_word(at + 8, size | u64::from(free.is_none()));
        // Free chunks never lie side by side.
        free = (*is_free && free.is_none()).then_some(size);
        at += size;
    }
    memory.put_word(at, free.unwrap_or(0));
    memory.put_word(at + 8, (LIMIT - at) | u64::from(free.is_none()));
    if free.is_some() {
        // A free chunk before the top would be part of it.
        memory.put_word(at + 8, 0x20);
        memory.put_word(at, free.unwrap_or(0));
        memory.put_word(at + 0x28, (LIMIT - at - 0x20) | 1);
        at += 0x20;
    }
    at
}

proptest! {
    #[test]
    fn sound_chunks_are_read_as_they_are(chunks in proptest::collection::vec((2u64..40, any::<bool>()), 1..40)) {
        let mut memory = FakeMemory::default();
        let top = heap(&mut memory, &chunks);
        let walked = walk(0, START, LIMIT, top, &memory).unwrap();
        prop_assert!(walked.is_top && walked.end == LIMIT);
        let mut builder = Builder::new(vec![RunAddress(0x1000)]);
        builder.add(walked.run);
        let heap = builder.finish().unwrap();
        prop_assert!(heap.is_allocators(RunAddress(0x1060)) && !heap.is_allocators(RunAddress(0x2000)));
        let mut at = START;
        let mut was_free = false;
        for (units, is_free) in chunks {
            let (_, block) = heap.block_of(RunAddress(at + 16)).expect("a block");
            let is_free = is_free && !was_free;
            let state = if is_free { State::Free } else { State::InUse };
            prop_assert_eq!((block.address.0, block.usable, block.state), (at + 16, units * 16 - 8, state));
            prop_assert_eq!(heap.is_allocators(RunAddress(at + 24)), is_free);
            was_free = is_free;
            at += units * 16;
        }
    }

    #[test]
    fn a_damaged_heap_is_refused_or_read_but_never_breaks_the_reader(
        chunks in proptest::collection::vec((2u64..40, any::<bool>()), 1..40),
        at in 0u64..0x4000,
        word in any::<u64>(),
        top in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
    ) {
        let mut memory = FakeMemory::default();
        let sound = heap(&mut memory, &chunks);
        memory.put_word(START + (at & !7), word);
        if let Ok(walked) = walk(0, START, LIMIT, top.unwrap_or(sound), &memory) {
            prop_assert!(walked.end <= LIMIT.max(START + 32));
        }
    }
}

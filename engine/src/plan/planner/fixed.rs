//! A fixed-address program: what is known of words is gathered before any is looked at (PROOF 1.5).

use dsu_formats::address::{RunAddress, RunRange};

use super::Planner;
use crate::plan::abi;
use crate::plan::fixed::{Frames, Records, Scene, Spans, Typing, Watched};
use crate::plan::heap::HeapView;
use crate::plan::link::canonical::{self, Canonical};
use crate::plan::loader;
use crate::plan::source::{SourceError, read_bytes, word_in};
use crate::plan::walk;
use crate::program::address::LinkAddress;

/// More of a thread's record than any release of the C library has.
const THREAD_RECORD: u64 = 0x1000;

impl<'a> Planner<'a> {
    /// The heap, where it decides anything.
    pub(super) fn heap_of_fixed(&self) -> Option<HeapView> {
        self.ground.placement.is_fixed().then(|| self.heap())
    }

    /// Everything that says of a word whether it is an address.
    pub(super) fn typing<'h>(&self, heap: &'h HeapView, guard: u64) -> Result<Typing<'h>, SourceError>
    where
        'a: 'h,
    {
        let (request, ground) = (self.request, &self.ground);
        let frames = Frames::new(&Scene {
            view: &ground.view,
            program: ground.placement.old_range(),
            space: ground.space,
            threads: &request.snapshot.threads,
            frames: &self.stacks.frames,
            libraries: &ground.loaded,
            memory: request.memory,
        });
        let spans = Spans::new(self.with_scene(heap, walk::types));
        let records = self.records(guard)?;
        let watched = Watched::new(request.snapshot, ground.space, heap, &ground.view);
        Ok(Typing { types: &request.old.debug.types, heap, space: ground.space, spans, frames, records, watched })
    }

    fn records(&self, guard: u64) -> Result<Records, SourceError> {
        let (request, ground) = (self.request, &self.ground);
        let mut records = Records::default();
        let record = ground.record.address();
        let length = ground.record.words().count() as u64 * 8;
        // Rewritten as a whole.
        records.numbers(RunRange::new(record.0, record.0.saturating_add(length)));
        let is_code = |word: u64| {
            let plain = word.rotate_right(17) ^ guard;
            let own = ground.placement.old_link(plain).and_then(|link| request.old.elf.load_at(link.0));
            own.is_some_and(|segment| segment.flags & abi::PF_X != 0)
                || ground.loaded.iter().any(|library| library.is_code(plain))
        };
        let runs = loader::words(&loader::data_ranges(ground.space, &ground.loaded), request.memory)?;
        records.exit_functions(&runs, is_code);
        let (start, end) = loader::record::span(&request.old.elf, 0);
        records.found_object(&runs, [start, end, record.0]);
        records.key_destructors(&ground.loaded);
        for thread in &request.snapshot.threads {
            let base = thread.registers.fs_base;
            let mapping = ground.space.mappings.iter().find(|mapping| mapping.range.contains(RunAddress(base)));
            let length = mapping.map_or(0, |mapping| (mapping.range.end.0 - base).min(THREAD_RECORD));
            let bytes = read_bytes(request.memory, RunAddress(base), length as usize)?;
            let frames = self.stacks.frames.iter().find(|(tid, _)| *tid == thread.tid).map_or(&[][..], |(_, frames)| frames);
            let word = |at: u64| word_in(&bytes, usize::try_from(at.checked_sub(base)?).ok()?);
            records.thread(&ground.view, thread, frames, word);
        }
        Ok(records)
    }

    /// Addresses of libraries' functions that are the old program's stubs for them.
    pub(super) fn canonical(&self) -> Vec<Canonical> {
        let request = self.request;
        match self.ground.placement.is_fixed() {
            true => canonical::canonical(&request.old.elf, &request.new.elf, &self.ground.loaded),
            false => Vec::new(),
        }
    }
}

/// The stub addresses as pointers see them.
pub(super) fn stubs(canonical: &[Canonical]) -> std::collections::HashMap<LinkAddress, crate::plan::pointers::Decision> {
    canonical::decisions(canonical).collect()
}

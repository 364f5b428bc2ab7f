//! Thread-local variables of the program: one block a thread, right below its thread pointer.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Thread;

use super::blocker::Blocker;
use super::compare::Comparison;
use super::compare::pairs::Partner;
use super::globals::{FreshContext, fresh_value, halfway_pointers};
use super::loader::record::TlsFields;
use super::rewrite::{Patch, Report};
use super::source::{MemorySource, SourceError, read_bytes, read_word};
use super::spec::Initial;
use super::spec::names::pairing_lines;
use super::tls_growth::{Growth, LibraryBlock, find_count, find_room, lay_out};
use super::words::{Holder, Words};
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::elf::Segment;

/// The old program's and the new program's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// PT_TLS of the old program.
    pub old: Segment,
    /// PT_TLS of the new program; `None` when it has no thread-local variables any more.
    pub new: Option<Segment>,
    /// Distance of the old block below the thread pointer (`l_tls_offset`).
    pub old_offset: u64,
    /// The same of the new block.
    pub new_offset: u64,
    /// The loader's number for the program.
    pub module: u64,
    /// What moves to make room.
    pub growth: Growth,
}

/// How far below the thread pointer the program's block starts: the first module's, as the linker and the loader count it.
pub fn block_offset(tls: &Segment) -> u64 {
    let align = tls.align.max(1);
    let first = tls.address.0 % align;
    let rest = (align - first) % align;
    // roundup (size - rest, align) + rest, `_dl_determine_tlsoffset`.
    tls.memory_size.saturating_sub(rest).next_multiple_of(align) + rest
}

/// What the loader's data in memory says, for blocks that grow.
pub struct LoaderData<'a> {
    /// The libraries' blocks.
    pub libraries: &'a [LibraryBlock],
    /// Words of the loader's writable and protected data, as runs with their addresses.
    pub words: &'a [(RunAddress, Vec<u64>)],
    /// `_dl_initial_dtv`, the first thread's vector (fs:8).
    pub vector: u64,
    /// Size in bytes of the C library's thread record.
    pub record: Option<u64>,
}

/// The two blocks, and what must move for the new one.
///
/// # Errors
/// A blocker: the new program has its first thread-local variables, or its block is larger than what the loader left free.
pub fn blocks(
    old: &Build,
    new: &Build,
    fields: Option<TlsFields>,
    loader: &LoaderData<'_>,
) -> Result<Option<Blocks>, Box<Blocker>> {
    let (before, after) = (old.elf.tls().copied(), new.elf.tls().copied());
    let (Some(before), Some(fields)) = (before, fields) else {
        let Some(after) = after else { return Ok(None) };
        let what = "the running program has none, so the loader has no block for it".to_owned();
        return Err(Box::new(Blocker::ThreadLocal { what, old: 0, new: after.memory_size, room: 0 }));
    };
    let new_offset = after.as_ref().map_or(fields.offset, block_offset);
    let mut growth = lay_out(loader.libraries, new_offset);
    if new_offset <= fields.offset && after.is_none_or(|after| after.align <= before.align.max(1)) {
        growth = Growth::default();
    } else {
        make_room(&mut growth, &before, after.as_ref(), fields.offset, loader)?;
    }
    Ok(Some(Blocks { old: before, new: after, old_offset: fields.offset, new_offset, module: fields.module, growth }))
}

/// Checks that the loader left enough room, and finds its count of what is in use.
fn make_room(
    growth: &mut Growth,
    before: &Segment,
    after: Option<&Segment>,
    old_offset: u64,
    loader: &LoaderData<'_>,
) -> Result<(), Box<Blocker>> {
    let used = loader.libraries.iter().map(|block| block.offset).fold(old_offset, u64::max);
    let wanted = after.map_or((0, 1), |after| (after.memory_size, after.align));
    let blocker =
        |what: &str, room| Box::new(Blocker::ThreadLocal { what: what.to_owned(), old: before.memory_size, new: wanted.0, room });
    let Some(record) = loader.record else { return Err(blocker("the size of the thread record is not known", old_offset)) };
    let rooms = loader.words.iter().filter_map(|(_, words)| find_room(words, used, record));
    let mut rooms: Vec<_> = rooms.collect();
    rooms.dedup();
    let [room] = rooms.as_slice() else { return Err(blocker("the loader's surplus is not found", old_offset)) };
    if growth.used > room.bytes {
        return Err(blocker(
            "the block and those of the libraries do not fit into the loader's surplus",
            (room.bytes + old_offset).saturating_sub(used),
        ));
    }
    if wanted.1 > room.align {
        return Err(blocker("its alignment is larger than the thread pointer's", room.align));
    }
    let modules = loader.libraries.len() as u64 + 1;
    let counts = loader.words.iter().filter_map(|(start, words)| {
        find_count(words, used, modules, loader.vector).map(|index| RunAddress(start.0 + index as u64 * 8))
    });
    let counts: Vec<_> = counts.collect();
    let [address] = counts.as_slice() else {
        return Err(blocker("the loader's count of what is in use is not found", old_offset));
    };
    growth.count = Some(Patch { address: *address, word: growth.used });
    Ok(())
}

impl Blocks {
    /// Where a thread's old block starts.
    pub fn old_start(&self, thread: &Thread) -> u64 {
        thread.registers.fs_base.wrapping_sub(self.old_offset)
    }

    /// Where a thread's new block starts.
    pub fn new_start(&self, thread: &Thread) -> u64 {
        thread.registers.fs_base.wrapping_sub(self.new_offset)
    }

    /// The old and the new block of each thread: they are rewritten as a whole.
    pub fn ranges(&self, threads: &[Thread]) -> Vec<RunRange> {
        let ranges = threads.iter().map(|thread| {
            let start = self.old_start(thread).min(self.new_start(thread));
            let size = self.new.map_or(self.old.memory_size, |new| new.memory_size);
            let end = self.old_start(thread).wrapping_add(self.old.memory_size).max(self.new_start(thread).wrapping_add(size));
            RunRange::new(start, end)
        });
        let moved = threads.iter().flat_map(|thread| {
            let base = thread.registers.fs_base;
            self.growth.moved.iter().flat_map(move |moved| {
                let (from, to) = moved.places(base);
                [from, RunRange::new(to.0, to.0.wrapping_add(from.len()))]
            })
        });
        ranges.chain(moved).collect()
    }

    /// Where each variable of each thread goes.
    pub fn moves(&self, comparison: &Comparison, threads: &[Thread]) -> Vec<(RunRange, RunAddress)> {
        let sides = &comparison.sides;
        let mut moves = Vec::new();
        for thread in threads {
            for (old, partner) in sides.old.locals.list().iter().zip(&sides.locals) {
                let Some(new) = partner.one().map(|partner| &sides.new.locals.list()[partner]) else { continue };
                let from = self.old_start(thread).wrapping_add(old.start.0);
                let to = self.new_start(thread).wrapping_add(new.start.0);
                moves.push((RunRange::new(from, from.wrapping_add(old.size)), RunAddress(to)));
            }
            moves.extend(self.growth.moved.iter().map(|moved| moved.places(thread.registers.fs_base)));
        }
        moves
    }
}

/// The new blocks of all threads, word by word, and what they mean for the loader's per-thread vector.
///
/// # Errors
/// Memory that cannot be read.
pub fn carry(
    blocks: &Blocks,
    comparison: &Comparison,
    builds: (&Build, &Build),
    threads: &[Thread],
    words: &mut Words<'_>,
    report: &mut Report,
) -> Result<Vec<Patch>, SourceError> {
    let mut patches = Vec::new();
    let Some(new) = blocks.new else { return Ok(patches) };
    for thread in threads {
        let memory = words.memory;
        let base = thread.registers.fs_base;
        let start = blocks.old_start(thread);
        let old = read_bytes(memory, RunAddress(start), blocks.old.memory_size as usize)?;
        let block = new_block(blocks, &new, comparison, builds, thread, &old, words);
        let mut stores = vec![(blocks.new_start(thread), block)];
        for moved in &blocks.growth.moved {
            let (from, to) = moved.places(base);
            let bytes = read_bytes(memory, from.start, from.len() as usize)?;
            stores.push((to.0, carried_value(&bytes, from.start.0, "thread-local storage of a library", words)));
            patches.extend(vector_patch(thread, moved.block.module, from.start.0, to.0, memory)?);
        }
        patches.extend(changed_words(memory, &stores)?);
        patches.extend(vector_patch(thread, blocks.module, start, blocks.new_start(thread), memory)?);
    }
    report_changes(comparison, report);
    Ok(patches)
}

/// The bytes of a thread's new block.
fn new_block(
    blocks: &Blocks,
    new: &Segment,
    comparison: &Comparison,
    builds: (&Build, &Build),
    thread: &Thread,
    old: &[u8],
    words: &mut Words<'_>,
) -> Vec<u8> {
    let sides = &comparison.sides;
    let mut block = image(builds.1, new);
    let initial = image(builds.0, &blocks.old);
    words.blockers.extend(unknown_change(blocks, comparison, thread, &initial, old));
    for (index, variable) in sides.old.locals.list().iter().enumerate() {
        let range = variable.start.0 as usize..variable.end().0 as usize;
        let (Some(was), Some(is)) = (initial.get(range.clone()), old.get(range)) else { continue };
        let is_carried = match comparison.data.told_locals.get(&index) {
            Some(initial) => *initial == Initial::Keep,
            None => was != is,
        };
        if !is_carried {
            continue;
        }
        let name = &variable.identity.name;
        match &sides.locals[index] {
            Partner::One(partner) => {
                // Rewritten with all other objects.
                if comparison.data.locals.contains_key(&index) {
                    continue;
                }
                if let Some(change) = &comparison.local_layouts[index] {
                    words.blockers.push(Blocker::ChangedVariable {
                        name: name.clone(),
                        place: change.place.clone(),
                        old: change.old.clone(),
                        new: change.new.clone(),
                        declared: variable.declared.clone(),
                    });
                    continue;
                }
                let to = sides.new.locals.list()[*partner].start.0 as usize;
                let address = blocks.old_start(thread).wrapping_add(variable.start.0);
                let value = carried_value(is, address, name, words);
                if let Some(place) = block.get_mut(to..to + value.len()) {
                    place.copy_from_slice(&value);
                }
            }
            Partner::Many(candidates) => {
                let unit = variable.identity.unit.clone();
                let (old, new) = (sides.old.locals.list(), sides.new.locals.list());
                let answers = pairing_lines("pair.globals", (old, index), (new, candidates));
                let candidates = candidates.iter().map(|index| new[*index].identity.unit.clone()).collect();
                words.blockers.push(Blocker::AmbiguousVariable { name: name.clone(), unit, candidates, answers });
            }
            Partner::Gone => {}
        }
    }
    make_fresh((&mut block, blocks.new_start(thread)), comparison, builds.0, words);
    block
}

/// Gives the variables of a block that only the new program has the values that rules say.
fn make_fresh((block, start): (&mut [u8], u64), comparison: &Comparison, old: &Build, words: &mut Words<'_>) {
    let context = FreshContext { memory: words.memory, new_bias: words.pointers.placement.new_bias() };
    for (index, compiled) in &comparison.data.fresh_locals {
        let Some(variable) = comparison.sides.new.locals.list().get(*index) else { continue };
        let Some(place) = block.get_mut(variable.start.0 as usize..variable.end().0 as usize) else { continue };
        let address = RunAddress(start.wrapping_add(variable.start.0));
        match fresh_value(compiled, place, &old.debug.types, address, &context) {
            Ok(value) => place.copy_from_slice(&value),
            Err(blockers) => words.blockers.extend(blockers),
        }
    }
}

/// Bytes of a block that belong to no variable and are not what they were at the start.
fn unknown_change(blocks: &Blocks, comparison: &Comparison, thread: &Thread, initial: &[u8], old: &[u8]) -> Option<Blocker> {
    let locals = &comparison.sides.old.locals;
    let mut pairs = (0u64..).zip(initial.iter().zip(old));
    let changed = pairs.find(|(offset, (was, is))| was != is && locals.covering(LinkAddress(*offset)).is_none());
    changed.map(|(offset, _)| Blocker::UnknownData {
        address: RunAddress(blocks.old_start(thread).wrapping_add(offset)),
        section: format!("the thread-local block of thread {}", thread.tid),
        length: 1,
    })
}

/// A variable's bytes with the words that point into the old program rewritten.
fn carried_value(bytes: &[u8], address: u64, name: &str, words: &mut Words<'_>) -> Vec<u8> {
    let mut value = bytes.to_vec();
    let first = (address.next_multiple_of(8) - address) as usize;
    let word = |offset: u64| {
        let bytes = bytes.get(usize::try_from(offset).ok()?..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let halfway = halfway_pointers(&words.pointers.placement, address, bytes.len() as u64, word);
    let halfway = halfway.into_iter().map(|offset| offset as usize);
    for offset in (first..value.len().saturating_sub(7)).step_by(8).chain(halfway) {
        let Some(place) = value.get_mut(offset..offset + 8) else { continue };
        let word = place.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let holder = Holder::Variable { name, offset: offset as u64, address: RunAddress(address + offset as u64) };
        if let Some(word) = words.rewrite(word, super::pointers::Site::Memory, holder) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
    value
}

/// What a fresh thread gets.
pub fn image(build: &Build, tls: &Segment) -> Vec<u8> {
    let mut bytes = build.elf.file_bytes(tls.address, tls.file_size).unwrap_or_default().to_vec();
    bytes.resize(tls.memory_size as usize, 0);
    bytes
}

/// The words of memory that `stores` (address, bytes) change, taken together. Bytes around them on shared words stay.
fn changed_words(memory: &dyn MemorySource, stores: &[(u64, Vec<u8>)]) -> Result<Vec<Patch>, SourceError> {
    let low = stores.iter().map(|store| store.0).min().unwrap_or(0) & !7;
    let high = stores.iter().map(|store| store.0 + store.1.len() as u64).max().unwrap_or(low).next_multiple_of(8);
    let old = read_bytes(memory, RunAddress(low), (high - low) as usize)?;
    let mut new = old.clone();
    for (start, bytes) in stores {
        let at = (start - low) as usize;
        if let Some(place) = new.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    let words = |bytes: &[u8]| {
        bytes.chunks_exact(8).map(|part| part.first_chunk().map_or(0, |part| u64::from_le_bytes(*part))).collect::<Vec<_>>()
    };
    let pairs = words(&old).into_iter().zip(words(&new));
    Ok((0u64..)
        .zip(pairs)
        .filter(|(_, (old, new))| old != new)
        .map(|(index, (_, word))| Patch { address: RunAddress(low + index * 8), word })
        .collect())
}

/// The loader's vector of the thread (`dtv`, at fs:8) has a block's address, if it was ever asked for.
fn vector_patch(
    thread: &Thread,
    module: u64,
    from: u64,
    to: u64,
    memory: &dyn MemorySource,
) -> Result<Option<Patch>, SourceError> {
    let vector = read_word(memory, RunAddress(thread.registers.fs_base.wrapping_add(8)))?;
    let entry = RunAddress(vector.wrapping_add(module.wrapping_mul(16)));
    let stale = from != to && read_word(memory, entry)? == from;
    Ok(stale.then_some(Patch { address: entry, word: to }))
}

fn report_changes(comparison: &Comparison, report: &mut Report) {
    let sides = &comparison.sides;
    let gone = sides.old.locals.list().iter().zip(&sides.locals).filter(|(_, partner)| **partner == Partner::Gone);
    report.globals_dropped.extend(gone.map(|(object, _)| object.identity.name.clone()));
    report.globals_carried += sides.locals.iter().filter(|partner| partner.one().is_some()).count() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_loader_s() {
        let tls = |address, memory_size, align| Segment {
            kind: 7,
            flags: 4,
            offset: 0,
            address: LinkAddress(address),
            file_size: 0,
            memory_size,
            align,
        };
        assert_eq!(block_offset(&tls(0x1000, 0x14, 8)), 0x18);
        assert_eq!(block_offset(&tls(0x1000, 0x40, 64)), 0x40);
        // A block that starts in the middle of its alignment ends at it.
        assert_eq!(block_offset(&tls(0x1008, 0x10, 16)), 0x18);
    }
}

//! Free chunks that look as if they were in use: fast bins and the threads' caches.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::model::latest::Thread;

use super::Scene;
use super::arena::Arena;
use super::blocks::{BlockIndex, HEADER, Heap, State};
use super::defect::HeapDefect;
use super::parameters::CACHE_BINS;
use crate::plan::link::scope::LoadedLibrary;
use crate::plan::source::{read_bytes, word_in};
use crate::plan::tls_growth::library_blocks;

/// `struct tcache_perthread_struct`: counts of two bytes, then lists (2.30 to 2.41).
const CACHE: usize = CACHE_BINS as usize * 10;
/// What the loader may leave between blocks of thread-local storage besides their alignment.
const SURPLUS: u64 = PAGE_SIZE;

/// Marks what fast bins and caches hold as free, and the caches as the allocator's own.
pub(super) fn mark(heap: &mut Heap, arenas: &[Arena], libc: &LoadedLibrary<'_>, scene: &Scene<'_>) -> Result<(), HeapDefect> {
    let mut lists = Lists { heap, scene, mangled: None };
    for (number, arena) in arenas.iter().enumerate() {
        for (bin, first) in arena.fast.iter().enumerate().filter(|(_, first)| **first != 0) {
            let owner = List { name: "fast bin", number: bin, owner: arena.address, size: 16 * (bin as u64 + 2), count: None };
            let chunks = lists.follow(&owner, first.wrapping_add(HEADER), HEADER)?;
            let foreign = |address: &&u64| {
                lists.heap.block_of(RunAddress(**address)).is_none_or(|(_, block)| block.arena.map(usize::from) != Some(number))
            };
            if let Some(found) = chunks.iter().find(foreign) {
                return Err(owner.odd("a chunk of another arena", *found));
            }
            lists.free(&owner, &chunks)?;
        }
    }
    let mut own = Vec::new();
    for thread in scene.threads {
        for (index, cache) in caches(lists.heap, thread, libc, scene)? {
            lists.cache(&cache)?;
            own.push(index.0);
        }
    }
    heap.own_blocks(own);
    Ok(())
}

/// A list to follow.
struct List {
    name: &'static str,
    number: usize,
    owner: RunAddress,
    /// Size of its chunks.
    size: u64,
    /// How many chunks it must have, where that is told.
    count: Option<usize>,
}

impl List {
    fn odd(&self, what: &'static str, found: u64) -> HeapDefect {
        HeapDefect::List { list: format!("{} {}", self.name, self.number), owner: self.owner, what, found }
    }
}

struct Lists<'a> {
    heap: &'a mut Heap,
    scene: &'a Scene<'a>,
    /// Whether links are mangled with their place (2.32 and later), once a list has told.
    mangled: Option<bool>,
}

impl Lists<'_> {
    /// The blocks of a list, by `first`, each linked by the word at its start. `back` is what lies between a link's target and the
    /// block that it means.
    fn follow(&mut self, list: &List, first: u64, back: u64) -> Result<Vec<u64>, HeapDefect> {
        let mut answers = [true, false].into_iter().filter(|way| self.mangled.is_none_or(|known| known == *way));
        let mut last = list.odd("no link can be read", first);
        let found = answers.find_map(|mangled| match self.follow_as(list, first, back, mangled) {
            Ok(chunks) => Some((chunks, mangled)),
            Err(error) => {
                last = error;
                None
            }
        });
        let Some((chunks, mangled)) = found else { return Err(last) };
        self.mangled = Some(mangled);
        Ok(chunks)
    }

    fn follow_as(&self, list: &List, first: u64, back: u64, mangled: bool) -> Result<Vec<u64>, HeapDefect> {
        let mut chunks = Vec::new();
        let mut at = first;
        loop {
            let block = self.heap.block_of(RunAddress(at)).filter(|(_, block)| block.address.0 == at);
            let Some((_, block)) = block else { return Err(list.odd("no chunk of the heap", at)) };
            if block.usable != list.size - HEADER / 2 {
                return Err(list.odd("a chunk of another size", block.usable));
            }
            chunks.push(at);
            if chunks.len() > list.count.unwrap_or(self.heap.len()) {
                return Err(list.odd("more chunks than it counts", chunks.len() as u64));
            }
            let link = self.scene.word(at)?;
            let next = if mangled { link ^ (at >> 12) } else { link };
            if next == 0 {
                break;
            }
            at = next.wrapping_add(back);
        }
        match list.count {
            Some(count) if count != chunks.len() => Err(list.odd("fewer chunks than it counts", chunks.len() as u64)),
            _ => Ok(chunks),
        }
    }

    fn free(&mut self, list: &List, chunks: &[u64]) -> Result<(), HeapDefect> {
        match chunks.iter().find(|chunk| !self.heap.free_block(**chunk)) {
            Some(twice) => Err(list.odd("a chunk that is free already", *twice)),
            None => Ok(()),
        }
    }

    fn cache(&mut self, cache: &Cache) -> Result<(), HeapDefect> {
        let mut key = None;
        for (number, count, first) in cache.lists() {
            let size = 16 * (number as u64 + 2);
            let list = List { name: "thread cache list", number, owner: cache.address, size, count: Some(count) };
            let chunks = self.follow(&list, first, 0)?;
            for chunk in &chunks {
                // Each chunk in a cache says so: the cache's address (to 2.33), or one random number for the process.
                let word = self.scene.word(chunk + 8)?;
                if *key.get_or_insert(word) != word {
                    return Err(list.odd("a chunk without the cache's key", word));
                }
            }
            self.free(&list, &chunks)?;
        }
        Ok(())
    }
}

/// A thread's cache.
struct Cache {
    address: RunAddress,
    bytes: Vec<u8>,
}

impl Cache {
    /// Reads what may be a cache: counts and lists are empty together, and lists start where blocks do.
    fn read(address: RunAddress, heap: &Heap, scene: &Scene<'_>) -> Result<Option<Self>, HeapDefect> {
        let cache = Self { address, bytes: read_bytes(scene.memory, address, CACHE)? };
        let sound = (0..CACHE_BINS as usize).all(|bin| {
            let (count, first) = cache.list(bin);
            let starts = || heap.block_of(RunAddress(first)).is_some_and(|(_, block)| block.address.0 == first);
            if count == 0 { first == 0 } else { starts() }
        });
        Ok(sound.then_some(cache))
    }

    fn list(&self, bin: usize) -> (usize, u64) {
        let count = self.bytes.get(bin * 2..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes));
        (count.into(), word_in(&self.bytes, CACHE_BINS as usize * 2 + bin * 8).unwrap_or(0))
    }

    /// Number, length and first block of each list that is not empty.
    fn lists(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        (0..CACHE_BINS as usize)
            .map(|bin| (bin, self.list(bin)))
            .filter(|(_, list)| list.0 != 0)
            .map(|(bin, list)| (bin, list.0, list.1))
    }
}

/// The cache of a thread: a block of its size that the C library's thread-local storage points to.
fn caches(
    heap: &Heap,
    thread: &Thread,
    libc: &LoadedLibrary<'_>,
    scene: &Scene<'_>,
) -> Result<Vec<(BlockIndex, Cache)>, HeapDefect> {
    let storage = storage(thread, libc, scene);
    let bytes = read_bytes(scene.memory, storage.start, storage.len() as usize)?;
    let mut found: Vec<(BlockIndex, Cache)> = Vec::new();
    for at in (0..bytes.len()).step_by(8) {
        let word = word_in(&bytes, at).unwrap_or(0);
        let Some((index, block)) = heap.block_of(RunAddress(word)).filter(|(_, block)| block.address.0 == word) else { continue };
        let fits = block.state == State::InUse && block.usable == CACHE as u64 + HEADER / 2;
        if fits
            && !found.iter().any(|(known, _)| *known == index)
            && let Some(cache) = Cache::read(block.address, heap, scene)?
        {
            found.push((index, cache));
        }
    }
    Ok(found)
}

/// Where the C library's thread-local storage of `thread` is; where the loader's record does not tell, all that the modules have.
fn storage(thread: &Thread, libc: &LoadedLibrary<'_>, scene: &Scene<'_>) -> RunRange {
    let base = thread.registers.fs_base & !7;
    let known = library_blocks(std::slice::from_ref(libc), scene.memory).ok().and_then(|blocks| blocks.first().copied());
    let range = match known {
        Some(block) => {
            let start = base.wrapping_sub(block.offset);
            RunRange::new(start & !7, start.wrapping_add(block.size).next_multiple_of(8))
        }
        None => {
            let blocks = scene.libraries.iter().filter_map(|library| library.library.elf.tls());
            let sum = blocks.map(|tls| tls.memory_size.saturating_add(tls.align)).fold(SURPLUS, u64::saturating_add);
            RunRange::new(base.saturating_sub(sum.next_multiple_of(8)), base)
        }
    };
    let mapping = scene.space.mappings.iter().find(|mapping| mapping.range.contains(RunAddress(range.end.0.saturating_sub(1))));
    mapping.and_then(|mapping| mapping.range.intersection(&range)).unwrap_or_default()
}

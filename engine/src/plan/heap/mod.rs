//! The blocks of glibc's malloc (2.31 to 2.41), read out of the memory of a stopped process.
//!
//! Nothing is taken from a table of versions: the allocator's records are found in the C library's data by what they must hold, and
//! every chunk of every arena must agree with its neighbours up to the arena's end. Anything odd makes the whole heap unreadable.

mod arena;
mod bitmap;
mod blocks;
mod chunks;
mod defect;
mod free;
mod inside;
mod mapped;
mod parameters;
mod regions;
#[cfg(test)]
mod tests;

pub use blocks::{Block, BlockIndex, Heap, SLACK, State};
pub use defect::HeapDefect;
pub use inside::MallocFamily;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{AddressSpace, Snapshot, Thread};

use super::link::scope::LoadedLibrary;
use super::source::{MemorySource, word_in};
use crate::program::elf::Elf;
use blocks::Builder;

/// What is known of a process's heap.
#[derive(Debug)]
pub enum HeapView {
    /// Every block of it.
    Readable(Heap),
    /// It is glibc's, and something in it is not as it must be.
    Unreadable(HeapDefect),
    /// `malloc` is another allocator's: `{0}` says whose. Bounds of objects come from the typed walk alone.
    Unknown(String),
}

impl HeapView {
    /// The blocks, where they can be read.
    pub fn heap(&self) -> Option<&Heap> {
        match self {
            Self::Readable(heap) => Some(heap),
            Self::Unreadable(_) | Self::Unknown(_) => None,
        }
    }
}

/// What reading a heap looks at.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    space: &'a AddressSpace,
    threads: &'a [Thread],
    libraries: &'a [LoadedLibrary<'a>],
    memory: &'a dyn MemorySource,
}

/// Reads the heap of a process that runs `program` with `libraries` in search order.
pub fn read(snapshot: &Snapshot, program: &Elf, libraries: &[LoadedLibrary<'_>], memory: &dyn MemorySource) -> HeapView {
    let libc = match allocator(program, libraries) {
        Ok(libc) => libc,
        Err(whose) => return HeapView::Unknown(whose),
    };
    let Some(space) = snapshot.address_spaces.first() else { return HeapView::Unknown("no address space".to_owned()) };
    let scene = Scene { space, threads: &snapshot.threads, libraries, memory };
    match read_glibc(&scene, libc) {
        Ok(heap) => HeapView::Readable(heap),
        Err(defect) => HeapView::Unreadable(defect),
    }
}

/// The C library, if `malloc` binds to it.
///
/// # Errors
/// Whose `malloc` it is instead.
pub fn allocator<'a>(program: &Elf, libraries: &'a [LoadedLibrary<'a>]) -> Result<&'a LoadedLibrary<'a>, String> {
    let defines = |elf: &Elf| elf.dynamic_symbols.iter().any(|symbol| symbol.defined && symbol.name == "malloc");
    let own = program.symbols.iter().any(|symbol| symbol.name == "malloc" && symbol.section != 0);
    if own || defines(program) {
        return Err("the program defines malloc itself".to_owned());
    }
    let first = libraries.iter().find(|library| {
        // The loader's own malloc serves itself until the C library is there.
        let loader = library.library.elf.soname.as_deref().is_some_and(|name| name.starts_with("ld-linux"));
        !loader && library.library.index.lookup(&library.library.elf, "malloc", None).is_some()
    });
    match first {
        Some(library) if is_libc(library) => Ok(library),
        Some(other) => Err(format!("malloc is that of {}", String::from_utf8_lossy(other.path))),
        None => Err("no library defines malloc".to_owned()),
    }
}

fn is_libc(library: &LoadedLibrary<'_>) -> bool {
    library.library.elf.soname.as_deref().is_some_and(|soname| soname.starts_with("libc.so.6"))
}

fn read_glibc(scene: &Scene<'_>, libc: &LoadedLibrary<'_>) -> Result<Heap, HeapDefect> {
    let data = writable_data(scene, libc)?;
    let main = match (arena::find_main(&data, scene), arena::find_untouched(&data)) {
        (Err(HeapDefect::NoArena { found: 0 }), Some(untouched)) => return Builder::new(vec![untouched]).finish(),
        (main, _) => main?,
    };
    let parameters = parameters::find(&data)?;
    let arenas = arena::all(main, scene)?;
    if let Some(busy) = arenas.iter().find(|arena| arena.is_locked()) {
        return Err(HeapDefect::Busy { arena: busy.address });
    }
    let mut builder = Builder::new(arenas.iter().map(|arena| arena.address).collect());
    let mut covered: Vec<RunRange> = Vec::new();
    for (number, arena) in (0u16..).zip(&arenas) {
        covered.extend(regions::read(arena, number, &parameters, scene, &mut builder)?);
    }
    mapped::read(&parameters, &covered, scene, &mut builder)?;
    let mut heap = builder.finish()?;
    free::mark(&mut heap, &arenas, libc, scene)?;
    let records = arenas.iter().map(|arena| RunRange::new(arena.address.0, arena.address.0.saturating_add(arena::SIZE as u64)));
    heap.note_records(records.chain([parameters.record]).collect());
    Ok(heap)
}

/// A run of words with the address of the first.
struct Data {
    start: u64,
    bytes: Vec<u8>,
}

impl Data {
    fn count(&self) -> usize {
        self.bytes.len() / 8
    }

    fn address(&self, index: usize) -> u64 {
        self.start + index as u64 * 8
    }

    fn word(&self, index: usize) -> Option<u64> {
        word_in(&self.bytes, index.checked_mul(8)?)
    }

    fn half(&self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(offset..)?.first_chunk()?))
    }
}

/// The C library's writable memory.
fn writable_data(scene: &Scene<'_>, libc: &LoadedLibrary<'_>) -> Result<Vec<Data>, HeapDefect> {
    // Larger than any C library's data by far.
    const LIMIT: u64 = 16 << 20;
    let mappings = scene.space.mappings.iter();
    let inside = mappings.filter(|mapping| mapping.protection.write && libc.range.overlaps(&mapping.range));
    let mut data = Vec::new();
    for range in inside.filter_map(|mapping| mapping.range.intersection(&libc.range)) {
        let mut bytes = vec![0; range.len().min(LIMIT) as usize];
        scene.memory.read(range.start, &mut bytes)?;
        data.push(Data { start: range.start.0, bytes });
    }
    Ok(data)
}

impl Scene<'_> {
    fn word(&self, address: u64) -> Result<u64, HeapDefect> {
        Ok(super::source::read_word(self.memory, dsu_formats::address::RunAddress(address))?)
    }

    /// Whether the program can write all of the range, and no file lies under it.
    fn is_anonymous(&self, range: RunRange) -> bool {
        let mut at = range.start;
        for mapping in &self.space.mappings {
            if !mapping.range.contains(at) {
                continue;
            }
            if !is_heap_memory(mapping) {
                return false;
            }
            at = mapping.range.end;
            if at >= range.end {
                return true;
            }
        }
        range.is_empty()
    }
}

fn is_heap_memory(mapping: &dsu_formats::model::latest::Mapping) -> bool {
    use dsu_formats::model::latest::{Backing, Sharing};
    mapping.protection.read
        && mapping.protection.write
        && mapping.sharing == Sharing::Private
        && matches!(mapping.backing, Backing::Anonymous { .. })
}

//! What must be known before anything can be decided: the loader's record, where the new program goes, how it is linked.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Generation, Module};

use crate::plan::abi;
use crate::plan::address::{Placement, page_ceil};
use crate::plan::base;
use crate::plan::blocker::Blocker;
use crate::plan::calls;
use crate::plan::generations::{self, AnnexRecord};
use crate::plan::globals::OldData;
use crate::plan::image::DataImage;
use crate::plan::link::relocate::{CopiedObject, Linked, Linker, TlsOffsets};
use crate::plan::link::scope::{LoadedLibrary, Scope, Slots};
use crate::plan::link::symbols::symbol_of;
use crate::plan::loader::record::Record;
use crate::plan::loader::versions::{ENTRY, VersionTable};
use crate::plan::loader::{self, dynamic::OldDynamic};
use crate::plan::pointers::{Pointers, Site};
use crate::plan::request::Request;
use crate::plan::source::{MemorySource, SourceError, read_bytes, read_word};
use crate::plan::spec::calls::BoundCall;
use crate::plan::tls::{self, Blocks, LoaderData};
use crate::plan::tls_growth::{LibraryBlock, library_blocks, record_size};
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::elf::Relocation;

/// Why preparing cannot go on.
pub(super) enum Stop {
    Blocked(Vec<Blocker>),
    Source(SourceError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Stop::Source(error)
    }
}

impl From<Blocker> for Stop {
    fn from(blocker: Blocker) -> Self {
        Stop::Blocked(vec![blocker])
    }
}

impl From<Box<Blocker>> for Stop {
    fn from(blocker: Box<Blocker>) -> Self {
        Stop::Blocked(vec![*blocker])
    }
}

/// What must be known before anything can be decided.
pub(super) struct Ground<'a> {
    pub(super) module: &'a Module,
    pub(super) space: &'a AddressSpace,
    pub(super) view: View<'a>,
    /// In the snapshot's order.
    pub(super) loaded: Vec<LoadedLibrary<'a>>,
    pub(super) annex: RunRange,
    pub(super) record: Record,
    pub(super) dynamic: OldDynamic,
    pub(super) placement: Placement,
    pub(super) versions: VersionTable,
    pub(super) blocks: Option<Blocks>,
    pub(super) data: OldData,
    /// COPY relocations of the old program.
    pub(super) old_copies: Vec<CopiedObject>,
    pub(super) linked: Linked,
    pub(super) lazy: bool,
}

impl<'a> Ground<'a> {
    pub(super) fn prepare(request: &Request<'a>) -> Result<Self, Stop> {
        let (old, new, memory) = (request.old, request.new, request.memory);
        let module = request.program().ok_or_else(|| no_module("the program"))?;
        let space = request.snapshot.address_spaces.first().ok_or_else(|| no_module("the address space"))?;
        let bias = module.bias.0;
        let loaded = request.loaded();
        let libc = libc_name(&loaded);
        let understood = |what: String| Blocker::LoaderRecord { what, libc: libc.clone() };
        let captured = DataImage::captured(&old.elf, bias, memory)?;
        let dynamic = OldDynamic::read(&old.elf, bias, &captured).map_err(|error| understood(error.to_string()))?;
        let record = read_record(request, space, module, &dynamic).map_err(understood)?;
        let scope = search_scope(&record, &loaded, memory).map_err(understood)?;
        let versions = VersionTable::read(&new.elf).ok_or_else(|| understood("versions of the new program".to_owned()))?;
        let libraries = library_blocks(&loaded, memory).map_err(understood)?;
        // What does not fit is told with all else that stands in the way, and for that the rest is planned without.
        let (blocks, unfit) = match thread_local_blocks(request, space, &loaded, &libraries, &record) {
            Ok(blocks) => (blocks, Vec::new()),
            Err(Stop::Blocked(unfit)) => (None, unfit),
            Err(stop) => return Err(stop),
        };
        let annex = old_annex(request, module, space);
        let placement = place(request, space, module, &versions)?;
        let tls_offsets = tls_offsets(&scope, &loaded, blocks.as_ref(), &libraries);
        let lazy = dynamic.is_lazy() && !binds_now(new);
        let slots = slots(request, &scope, bias);
        let link = |build: &'a Build, index, bias, lazy| {
            Linker {
                elf: &build.elf,
                index,
                bias,
                scope: Scope { libraries: &scope },
                slots: slots.clone(),
                memory,
                lazy,
                tls: tls_offsets.clone(),
            }
            .link()
        };
        let comparison = request.comparison;
        let mut linked = link(new, &comparison.new_index, placement.new_bias(), lazy);
        linked.blockers.extend(unfit);
        let before = link(old, &comparison.old_index, bias, dynamic.is_lazy());
        let initial = initial_data(old, &before, &captured)?;
        Ok(Self {
            module,
            space,
            view: comparison.view(old, new),
            annex,
            record,
            dynamic,
            placement,
            versions,
            blocks,
            data: OldData { initial, captured, bias },
            old_copies: before.copies,
            linked,
            lazy,
            loaded,
        })
    }
}

impl Ground<'_> {
    /// Whether code of the program or of a library is at a run-time address.
    pub(super) fn is_code(&self, address: u64) -> bool {
        let link = self.placement.old_link(address);
        let own = link.and_then(|link| self.view.old.elf.load_at(link.0));
        own.is_some_and(|segment| segment.flags & abi::PF_X != 0) || self.loaded.iter().any(|library| library.is_code(address))
    }

    /// Pages behind the annex for the texts that calls get.
    pub(super) fn texts(&self, calls: &[BoundCall]) -> RunRange {
        let start = self.placement.annex().end.0;
        RunRange::new(start, start.saturating_add(calls::texts_length(calls)))
    }

    /// What the old program's slots say that the selector at `function` (of the new program) chooses.
    pub(super) fn chosen(&self, pointers: &Pointers<'_>, function: RunAddress) -> Option<u64> {
        let sides = self.view.sides;
        let entry = LinkAddress(function.0.wrapping_sub(self.placement.new_bias()));
        let new = sides.new.functions.at_entry(entry)?;
        let old =
            sides.functions.iter().position(|partner| partner.one() == Some(new)).filter(|old| self.view.same_code(*old))?;
        let selector = sides.old.functions.list().get(old)?.entry;
        let elf = &self.view.old.elf;
        let selects = |entry: &&Relocation| match symbol_of(elf, entry) {
            Some(symbol) => symbol.defined && symbol.kind == abi::STT_GNU_IFUNC && symbol.address == selector,
            None => entry.kind == abi::R_IRELATIVE && LinkAddress(entry.addend as u64) == selector,
        };
        let slots = elf.relocations.iter().filter(selects).filter_map(|entry| self.data.captured.word(entry.address));
        slots.filter_map(|word| pointers.word(&pointers.decide(word, Site::Memory)?)).next()
    }
}

fn no_module(what: &str) -> Blocker {
    Blocker::Unsupported { what: what.to_owned(), expected: "one in the capture".to_owned(), found: "none".to_owned() }
}

pub(super) fn libc_name(loaded: &[LoadedLibrary<'_>]) -> String {
    let libc = loaded.iter().find(|library| library.library.elf.soname.as_deref() == Some("libc.so.6"));
    libc.map_or_else(|| "no libc.so.6".to_owned(), |library| String::from_utf8_lossy(library.path).into_owned())
}

fn binds_now(build: &Build) -> bool {
    let flags = build.elf.dynamic_value(abi::DT_FLAGS).unwrap_or(0) & abi::DF_BIND_NOW;
    let more = build.elf.dynamic_value(abi::DT_FLAGS_1).unwrap_or(0) & abi::DF_1_NOW;
    build.elf.dynamic_value(abi::DT_BIND_NOW).is_some() || flags | more != 0
}

fn read_record(request: &Request<'_>, space: &AddressSpace, module: &Module, dynamic: &OldDynamic) -> Result<Record, String> {
    let address = match (module.link_map, dynamic.debug) {
        (Some(address), _) => address,
        (None, Some(debug)) => {
            let list = RunAddress(debug.0.wrapping_add(8));
            RunAddress(read_word(request.memory, list).map_err(|error| error.to_string())?)
        }
        (None, None) => return Err("the loader left no record (DT_DEBUG)".to_owned()),
    };
    let mapping = space.mappings.iter().find(|mapping| mapping.range.contains(address));
    let room = mapping.map_or(0, |mapping| mapping.range.end.0 - address.0);
    Record::read(request.memory, address, room, &request.old.elf, module.bias.0).map_err(|error| error.to_string())
}

/// The libraries in the order in which the program's symbols are looked up.
fn search_scope<'a>(
    record: &Record,
    loaded: &[LoadedLibrary<'a>],
    memory: &dyn MemorySource,
) -> Result<Vec<LoadedLibrary<'a>>, String> {
    let (list, count) = record.search_list().filter(|(_, count)| *count != 0 && *count < 1 << 16).ok_or("no l_searchlist")?;
    let bytes = read_bytes(memory, list, count as usize * 8).map_err(|error| error.to_string())?;
    let mut records =
        bytes.chunks_exact(8).map(|part| RunAddress(part.first_chunk().map_or(0, |part| u64::from_le_bytes(*part))));
    if records.next() != Some(record.address()) {
        return Err("l_searchlist does not begin with the program".to_owned());
    }
    records
        .map(|address| {
            let found = loaded.iter().find(|library| library.link_map == Some(address));
            found.copied().ok_or_else(|| format!("l_searchlist names an unknown module ({address})"))
        })
        .collect()
}

/// The annex that the last update left; empty before the first.
fn old_annex(request: &Request<'_>, module: &Module, space: &AddressSpace) -> RunRange {
    let starts = generations::annex_starts(module.range, request.old.elf.is_fixed_address(), &space.mappings);
    let found = starts.into_iter().find_map(|start| {
        let mapping = space.mappings.iter().find(|mapping| mapping.range.contains(start))?;
        let length = (mapping.range.end.0 - start.0).min(generations::RECORD_ROOM);
        let bytes = read_bytes(request.memory, start, length as usize).ok()?;
        let AnnexRecord { length, .. } = generations::decode(&bytes).ok()?;
        Some(RunRange::new(start.0, start.0.saturating_add(length)))
    });
    let behind = module.range.end.page_ceil();
    found.unwrap_or(RunRange { start: behind, end: behind })
}

fn place(
    request: &Request<'_>,
    space: &AddressSpace,
    module: &Module,
    versions: &VersionTable,
) -> Result<Placement, Box<Blocker>> {
    let (old, new) = (request.old.elf.load_range(), request.new.elf.load_range());
    let table = u64::from(versions.count()) * ENTRY;
    let annex = page_ceil(generations::RECORD_ROOM + table);
    let texts = calls::texts_length(&request.comparison.bound.calls);
    let length = (new.1.0 - new.0.0).saturating_add(annex).saturating_add(texts);
    let none = Generation::default();
    let generation = request.snapshot.generations.first().unwrap_or(&none);
    if request.old.elf.is_fixed_address() {
        return place_fixed(request, space, generation, (annex, texts));
    }
    let start = base::choose(space, generation, module.range, length).ok_or(Blocker::NoRoom { length })?;
    let placement = Placement::new(module.bias.0, old, start.0.wrapping_sub(new.0.0), new, annex);
    let end = placement.old_range().end;
    let end_taken = space.layout.start_brk == end || space.mappings.iter().any(|mapping| mapping.range.contains(end));
    // The annex of an earlier update belongs to the program.
    Ok(placement.with_end_taken(end_taken && old_annex(request, module, space).is_empty()))
}

/// A fixed-address program goes where it was linked for, over the old one. Annex and old literals lie apart.
fn place_fixed(
    request: &Request<'_>,
    space: &AddressSpace,
    generation: &Generation,
    (annex, texts): (u64, u64),
) -> Result<Placement, Box<Blocker>> {
    let (old, new) = (request.old.elf.load_range(), request.new.elf.load_range());
    let placement = Placement::new(0, old, 0, new, annex);
    let (from, needed) = (placement.old_range(), placement.new_range());
    // Program, and what the last update reserved, go; the program break does not, nor what it may still take.
    let goes = std::iter::once(from).chain(generation.retained.iter().map(|retained| retained.range));
    let goes: Vec<RunRange> = goes.collect();
    let layout = &space.layout;
    let heap = RunRange { start: layout.start_brk, end: layout.brk.max(RunAddress(layout.start_brk.0.saturating_add(1))) };
    let others = space.mappings.iter().flat_map(|mapping| mapping.range.without(&goes)).map(|range| (range, "a mapping"));
    if let Some((taken, what)) = std::iter::once((heap, "the heap")).chain(others).find(|(range, _)| range.overlaps(&needed)) {
        let length = needed.end.0.saturating_sub(from.end.0);
        return Err(Box::new(Blocker::NoRoomInPlace { needed, what: what.to_owned(), taken, length }));
    }
    let length = annex.saturating_add(texts).saturating_add(from.len());
    let start = base::choose_apart(space, generation, length).ok_or(Blocker::NoRoom { length })?;
    let annex = RunRange::new(start.0, start.0.saturating_add(annex));
    let end_taken = layout.start_brk == from.end || space.mappings.iter().any(|mapping| mapping.range.contains(from.end));
    Ok(placement.fixed(annex, annex.end.0 + texts - from.start.0).with_end_taken(end_taken))
}

/// The program's thread-local blocks, old and new, with what the loader's data says of the room for them.
fn thread_local_blocks(
    request: &Request<'_>,
    space: &AddressSpace,
    loaded: &[LoadedLibrary<'_>],
    libraries: &[LibraryBlock],
    record: &Record,
) -> Result<Option<Blocks>, Stop> {
    let memory = request.memory;
    let base = request.snapshot.threads.first().map_or(0, |leader| leader.registers.fs_base);
    let vector = read_word(memory, RunAddress(base.wrapping_add(8)))?;
    let words = loader::words(&loader::data_ranges(space, loaded), memory)?;
    let data = LoaderData { libraries, words: &words, vector, record: record_size(loaded) };
    Ok(tls::blocks(request.old, request.new, record.tls(), &data)?)
}

/// Where the thread-local storage of each module of the scope will be.
fn tls_offsets(
    scope: &[LoadedLibrary<'_>],
    loaded: &[LoadedLibrary<'_>],
    blocks: Option<&Blocks>,
    libraries: &[LibraryBlock],
) -> TlsOffsets {
    let moved = blocks.map_or(&[][..], |blocks| &blocks.growth.moved);
    let of = |library: &LoadedLibrary<'_>| {
        let position = loaded.iter().position(|other| other.range == library.range)?;
        let block = libraries.iter().find(|block| block.library == position)?;
        let offset = moved.iter().find(|moved| moved.block == *block).map_or(block.offset, |moved| moved.new_offset);
        Some((block.module, offset))
    };
    TlsOffsets { program: blocks.map(|blocks| (blocks.module, blocks.new_offset)), libraries: scope.iter().map(of).collect() }
}

fn slots<'a>(request: &Request<'a>, scope: &[LoadedLibrary<'a>], bias: u64) -> Vec<Slots<'a>> {
    let program = Slots { elf: &request.old.elf, index: &request.comparison.old_index, bias };
    let libraries =
        scope.iter().map(|loaded| Slots { elf: &loaded.library.elf, index: &loaded.library.index, bias: loaded.bias });
    std::iter::once(program).chain(libraries).collect()
}

/// The old program's data as the loader left it. What it took from selectors and libraries' objects is as it is now.
fn initial_data(old: &Build, linked: &Linked, captured: &DataImage) -> Result<DataImage, Box<Blocker>> {
    let mut initial = initial_image(old)?;
    // Before what linking found out: an address that waits for a selector is as it is now.
    for relocation in old.elf.relocations.iter().filter(|entry| matches!(entry.kind, abi::R_IRELATIVE | abi::R_64)) {
        captured.word(relocation.address).map(|word| initial.set_word(relocation.address, word));
    }
    for (place, word) in &linked.words {
        initial.set_word(place.0, *word);
    }
    Ok(initial)
}

pub(super) fn initial_image(build: &Build) -> Result<DataImage, Box<Blocker>> {
    DataImage::initial(&build.elf).map_err(|error| {
        Box::new(Blocker::Unsupported {
            what: build.path.display().to_string(),
            expected: "writable segments that fit in memory".to_owned(),
            found: error.to_string(),
        })
    })
}

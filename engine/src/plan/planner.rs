//! The order of a plan: link, decide values, find where threads are, rewrite words, lay out the new address space.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Generation, Module, Retained};

use super::abi;
use super::address::{OldLink, Placement};
use super::base;
use super::blocker::{Blocker, PlanError};
use super::generations::{self, AnnexRecord};
use super::globals::{self, OldData};
use super::image::DataImage;
use super::link::interpose::{Program, interposed_slots};
use super::link::relocate::{CopiedObject, Linked, Linker, TlsOffsets};
use super::link::scope::{LoadedLibrary, Scope, Slots};
use super::loader::auxv;
use super::loader::dynamic::OldDynamic;
use super::loader::record::{Record, find_tls};
use super::loader::versions::VersionTable;
use super::moves::Moves;
use super::owners::Owners;
use super::pointers::{Fates, Pointers};
use super::request::Request;
use super::rewrite::{Contents, Patch, Report, Resolver, Rewrite, SharedWord};
use super::safe_point::{self, Stacks};
use super::scan::{self, dead::dead_ranges, filter::Filter, sites::Sites};
use super::source::{MemorySource, SourceError, read_bytes, read_word};
use super::tls::{self, Blocks};
use super::view::View;
use super::words::{OldLiteral, Words};
use super::{kernel_words, mappings};
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::unwind::LoadedModule;

/// Bytes of a module's loader record that are read.
const RECORD_BYTES: usize = 0x600;

/// Plans one update.
///
/// # Errors
/// All reasons not to update, or memory that cannot be read.
pub fn plan(request: &Request<'_>) -> Result<Rewrite, PlanError> {
    let mut blockers = request.comparison.blockers.clone();
    blockers.extend(super::scope_blockers::check(request));
    let ground = match Ground::prepare(request) {
        Ok(ground) => ground,
        Err(Stop::Blocked(more)) => {
            blockers.extend(more);
            return Err(PlanError::Blocked(blockers));
        }
        Err(Stop::Source(error)) => return Err(error.into()),
    };
    let mut planner = Planner::new(request, ground, blockers);
    planner.values();
    planner.stacks();
    planner.words()?;
    planner.finish()
}

/// Why preparing cannot go on.
enum Stop {
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

/// What must be known before anything can be decided.
struct Ground<'a> {
    module: &'a Module,
    space: &'a AddressSpace,
    view: View<'a>,
    /// In the snapshot's order.
    loaded: Vec<LoadedLibrary<'a>>,
    annex: RunRange,
    record: Record,
    dynamic: OldDynamic,
    placement: Placement,
    versions: VersionTable,
    blocks: Option<Blocks>,
    data: OldData,
    /// COPY relocations of the old program.
    old_copies: Vec<CopiedObject>,
    linked: Linked,
    lazy: bool,
}

impl<'a> Ground<'a> {
    fn prepare(request: &Request<'a>) -> Result<Self, Stop> {
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
        let blocks = tls::blocks(old, new, record.tls())?;
        let annex = old_annex(module, space, memory);
        let placement = place(request, space, module, &versions)?;
        let tls_offsets = tls_offsets(&scope, blocks, memory).map_err(understood)?;
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
        let linked = link(new, &comparison.new_index, placement.new_bias(), lazy);
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
            data: OldData { initial, captured },
            old_copies: before.copies,
            linked,
            lazy,
            loaded,
        })
    }
}

fn no_module(what: &str) -> Blocker {
    Blocker::Unsupported { what: what.to_owned(), expected: "one in the capture".to_owned(), found: "none".to_owned() }
}

fn libc_name(loaded: &[LoadedLibrary<'_>]) -> String {
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

/// The annex that the last update left behind the program; empty before the first.
fn old_annex(module: &Module, space: &AddressSpace, memory: &dyn MemorySource) -> RunRange {
    let start = generations::annex_start(module.range);
    let none = RunRange { start, end: start };
    let Some(mapping) = space.mappings.iter().find(|mapping| mapping.range.contains(start)) else { return none };
    let length = (mapping.range.end.0 - start.0).min(generations::RECORD_ROOM);
    let record = read_bytes(memory, start, length as usize).ok().and_then(|bytes| generations::decode(&bytes).ok());
    record.map_or(none, |AnnexRecord { length, .. }| RunRange::new(start.0, start.0.saturating_add(length)))
}

fn place(request: &Request<'_>, space: &AddressSpace, module: &Module, versions: &VersionTable) -> Result<Placement, Blocker> {
    let (old, new) = (request.old.elf.load_range(), request.new.elf.load_range());
    let table = u64::from(versions.count()) * super::loader::versions::ENTRY;
    let annex = super::address::page_ceil(generations::RECORD_ROOM + table);
    let length = (new.1.0 - new.0.0).saturating_add(annex);
    let none = Generation::default();
    let generation = request.snapshot.generations.first().unwrap_or(&none);
    let start = base::choose(space, generation, module.range, length).ok_or(Blocker::NoRoom { length })?;
    Ok(Placement::new(module.bias.0, old, start.0.wrapping_sub(new.0.0), new, annex))
}

/// Thread-local storage of every module of the scope, from its own record.
fn tls_offsets(scope: &[LoadedLibrary<'_>], blocks: Option<Blocks>, memory: &dyn MemorySource) -> Result<TlsOffsets, String> {
    let mut offsets = TlsOffsets { program: blocks.map(|blocks| (blocks.module, blocks.new_offset)), libraries: Vec::new() };
    for library in scope {
        let record = library.link_map.filter(|_| library.library.elf.tls().is_some());
        let fields = match record {
            None => None,
            Some(record) => {
                let mut bytes = vec![0; RECORD_BYTES];
                // The record may end less than this before the end of its mapping.
                while memory.read(record, &mut bytes).is_err() && bytes.len() > 64 {
                    bytes.truncate(bytes.len() - 64);
                }
                find_tls(&bytes, &library.library.elf, library.bias).map_err(|error| error.to_string())?
            }
        };
        offsets.libraries.push(fields.map(|fields| (fields.module, fields.offset)));
    }
    Ok(offsets)
}

fn slots<'a>(request: &Request<'a>, scope: &[LoadedLibrary<'a>], bias: u64) -> Vec<Slots<'a>> {
    let program = Slots { elf: &request.old.elf, index: &request.comparison.old_index, bias };
    let libraries =
        scope.iter().map(|loaded| Slots { elf: &loaded.library.elf, index: &loaded.library.index, bias: loaded.bias });
    std::iter::once(program).chain(libraries).collect()
}

/// The old program's data as the loader left it. What it took from selectors and libraries' objects is as it is now.
fn initial_data(old: &Build, linked: &Linked, captured: &DataImage) -> Result<DataImage, Blocker> {
    let mut initial = initial_image(old)?;
    for (place, word) in &linked.words {
        initial.set_word(place.0, *word);
    }
    for relocation in &old.elf.relocations {
        let known = linked.words.iter().any(|(place, _)| place.0 == relocation.address);
        if relocation.kind == abi::R_IRELATIVE || (!known && relocation.kind == abi::R_64) {
            captured.word(relocation.address).map(|word| initial.set_word(relocation.address, word));
        }
    }
    Ok(initial)
}

fn initial_image(build: &Build) -> Result<DataImage, Blocker> {
    DataImage::initial(&build.elf).map_err(|error| Blocker::Unsupported {
        what: build.path.display().to_string(),
        expected: "writable segments that fit in memory".to_owned(),
        found: error.to_string(),
    })
}

/// A plan in the making.
struct Planner<'a> {
    request: &'a Request<'a>,
    ground: Ground<'a>,
    blockers: Vec<Blocker>,
    report: Report,
    fates: Fates,
    stacks: Stacks,
    image: DataImage,
    patches: Vec<Patch>,
    shared: Vec<SharedWord>,
    snapshot: dsu_formats::model::latest::Snapshot,
    kept: Vec<RunRange>,
    literals: Vec<OldLiteral>,
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request<'a>, ground: Ground<'a>, blockers: Vec<Blocker>) -> Self {
        let literals = request.snapshot.generations.first().map_or(&[][..], |generation| &generation.retained);
        let literals = literals.iter().filter(|retained| retained.readable);
        let literals = literals.map(|retained| OldLiteral { range: retained.range, used: false }).collect();
        Self {
            request,
            ground,
            blockers,
            literals,
            report: Report::default(),
            fates: Fates::default(),
            stacks: Stacks::default(),
            image: DataImage::default(),
            patches: Vec::new(),
            shared: Vec::new(),
            snapshot: request.snapshot.clone(),
            kept: Vec::new(),
        }
    }

    /// Links the new program and decides which variables keep their values.
    fn values(&mut self) {
        let comparison = self.request.comparison;
        comparison.report(&mut self.report);
        self.blockers.append(&mut self.ground.linked.blockers);
        let copied: HashSet<LinkAddress> = self.ground.old_copies.iter().map(|copy| copy.copy.0).collect();
        let decisions = globals::decide(comparison, &self.ground.data, &copied, &mut self.report);
        self.blockers.extend(decisions.blockers);
        self.fates = decisions.fates;
        self.return_copies();
        let (old, data) = (&self.request.old.elf, &self.ground.data);
        self.blockers.extend(globals::unknown_changes(comparison, old, data, &self.ground.placement));
        match initial_image(self.request.new) {
            Ok(image) => self.image = image,
            Err(blocker) => self.blockers.push(blocker),
        }
        let (new, bias, lazy) = (&self.request.new.elf, self.ground.placement.new_bias(), self.ground.lazy);
        for (place, word) in &self.ground.linked.words {
            if !self.image.set_word(place.0, *word) {
                self.blockers.push(Blocker::Relocation { relocation: 0, address: RunAddress(place.0.0), symbol: None });
            }
        }
        if !self.ground.dynamic.write(new, bias, lazy, &mut self.image) {
            let what = ".dynamic of the new program is not writable".to_owned();
            self.blockers.push(Blocker::LoaderRecord { what, libc: libc_name(&self.ground.loaded) });
        }
    }

    /// Copies of libraries' objects that the new program has no copy of: the libraries' own objects take over.
    fn return_copies(&mut self) {
        let objects = &self.ground.view.sides.old.objects;
        for copy in &self.ground.old_copies {
            let Some(index) = objects.covering(copy.copy.0).filter(|index| objects.list()[*index].start == copy.copy.0) else {
                continue;
            };
            if self.ground.view.sides.objects[index].one().is_some() {
                continue;
            }
            let length = copy.size.min(copy.original_size);
            for (address, word) in globals::returned_words(&self.ground.data, &objects.list()[index], copy.original, length) {
                self.patches.push(Patch { address, word });
            }
            self.fates.returned.insert(index, copy.original);
        }
    }

    /// Unwinds all threads.
    fn stacks(&mut self) {
        let ground = &self.ground;
        let program = LoadedModule {
            range: ground.module.range,
            bias: ground.module.bias.0,
            unwind: Arc::clone(&self.request.comparison.unwind),
        };
        let libraries = ground.loaded.iter().map(|loaded| LoadedModule {
            range: loaded.range,
            bias: loaded.bias,
            unwind: Arc::clone(&loaded.library.unwind),
        });
        let modules: Vec<LoadedModule> = std::iter::once(program).chain(libraries).collect();
        let threads = &self.request.snapshot.threads;
        self.stacks = safe_point::examine(
            &ground.view,
            &ground.placement,
            threads,
            ground.space,
            &modules,
            &ground.loaded,
            self.request.memory,
        );
        self.blockers.append(&mut self.stacks.blockers);
    }

    /// Everything that moves outside the program's segments.
    fn moves(&self) -> Moves {
        let mut moves = Vec::new();
        if let Some(blocks) = &self.ground.blocks {
            moves.extend(blocks.moves(self.request.comparison, &self.request.snapshot.threads));
        }
        let placement = &self.ground.placement;
        for copy in self.new_copies() {
            let from = RunRange::new(copy.original.0, copy.original.0.saturating_add(copy.original_size));
            moves.push((from, placement.new_run(copy.copy).0));
        }
        Moves::new(moves)
    }

    /// Copies of libraries' objects that the old program had no copy of.
    fn new_copies(&self) -> impl Iterator<Item = &CopiedObject> {
        let old: HashSet<RunAddress> = self.ground.old_copies.iter().map(|copy| copy.original).collect();
        self.ground.linked.copies.iter().filter(move |copy| !old.contains(&copy.original))
    }

    fn words(&mut self) -> Result<(), PlanError> {
        let request = self.request;
        let moves = Arc::new(self.moves());
        let guard = self.guard()?;
        self.fill_new_copies()?;
        let mut sites = self.sites()?;
        let loader = self.loader_patches()?;
        sites.handled.extend(loader.iter().chain(&self.patches).map(|patch| patch.address));
        self.patches.extend(loader);
        let literals: Vec<RunRange> = self.literals.iter().map(|literal| literal.range).collect();
        let filter = Filter::new(self.ground.placement.old_range(), &literals, moves.ranges().collect(), guard);
        let owners = Owners::new(request.snapshot, &self.ground.loaded);
        let describe = |address: RunAddress| owners.describe(address);
        let ground = &self.ground;
        let pointers = Pointers { view: ground.view, placement: ground.placement, fates: &self.fates };
        let mut words = Words::new(pointers, request.memory, guard, &describe, std::mem::take(&mut self.literals), moves);
        let types = &request.old.debug.types;
        globals::carry(request.comparison, types, &ground.data, &self.fates, &ground.placement, &mut words, &mut self.image);
        if let Some(blocks) = &ground.blocks {
            let builds = (request.old, request.new);
            let threads = &request.snapshot.threads;
            self.patches.extend(tls::carry(blocks, request.comparison, builds, threads, &mut words, &mut self.report)?);
        }
        let ranges = scan_ranges(request, &[ground.placement.old_range(), ground.annex]);
        let scanned = scan::scan(&ranges, &filter, &sites, &mut words)?;
        let in_shared = scan::scan(request.memory.shared_pages(), &filter, &sites, &mut words)?;
        for Patch { address, word } in in_shared.patches {
            self.shared.push(SharedWord { address, old: read_word(request.memory, address)?, new: word });
        }
        kernel_words::rewrite(&mut self.snapshot, &mut words);
        self.patches.extend(scanned.patches);
        self.report.words_scanned = scanned.words + in_shared.words;
        self.report.words_rewritten = words.rewritten;
        self.report.words_mangled = words.mangled;
        self.blockers.append(&mut words.blockers);
        let run = |link: OldLink| ground.placement.old_run(link).0.0;
        self.kept = words.kept.iter().map(|(start, end)| RunRange::new(run(*start), run(*end))).collect();
        self.literals = words.literals;
        Ok(())
    }

    /// The C library's pointer guard, in the thread record at fs:0x30.
    fn guard(&self) -> Result<u64, SourceError> {
        let base = self.request.snapshot.threads.first().map_or(0, |leader| leader.registers.fs_base);
        read_word(self.request.memory, RunAddress(base.wrapping_add(0x30)))
    }

    fn fill_new_copies(&mut self) -> Result<(), SourceError> {
        let copies: Vec<CopiedObject> = self.new_copies().cloned().collect();
        for copy in copies {
            let length = copy.size.min(copy.original_size);
            let bytes = read_bytes(self.request.memory, copy.original, length as usize)?;
            if let Some(place) = self.image.slice_mut(copy.copy.0, length) {
                place.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Words of the loader's that follow from the two builds rather than from what they point to.
    fn loader_patches(&self) -> Result<Vec<Patch>, PlanError> {
        let (request, ground) = (self.request, &self.ground);
        let (old, new) = (&request.old.elf, &request.new.elf);
        let (from, to) = (ground.placement.old_bias(), ground.placement.new_bias());
        let count = ground.versions.count();
        let table = (count != 0).then(|| (self.version_table(), count));
        let unknown = |error: super::loader::record::RecordError| {
            PlanError::Blocked(vec![Blocker::LoaderRecord { what: error.to_string(), libc: libc_name(&ground.loaded) }])
        };
        let mut patches = ground.record.rewrite(new, to, table).map_err(unknown)?;
        patches.extend(super::loader::leftovers(&ground.record, &ground.placement, &patches, request.memory)?);
        patches.extend(auxv::stack_patches(ground.space, request.memory, (old, from), (new, to))?);
        let comparison = request.comparison;
        let before = Program { elf: old, index: &comparison.old_index, bias: from };
        let after = Program { elf: new, index: &comparison.new_index, bias: to };
        patches.extend(interposed_slots(before, after, &ground.loaded, request.memory)?);
        let ranges = super::loader::data_ranges(ground.space, &ground.loaded);
        patches.extend(super::loader::header_counts(&ranges, (old, from), new, request.memory)?);
        Ok(patches)
    }

    fn version_table(&self) -> RunAddress {
        RunAddress(self.ground.placement.annex().start.0 + generations::RECORD_ROOM)
    }

    fn sites(&self) -> Result<Sites, SourceError> {
        let (request, ground) = (self.request, &self.ground);
        let threads = &request.snapshot.threads;
        let stale_returns = !super::scope_blockers::switches_stacks(request.old, &ground.loaded);
        let mut stacks: Vec<(RunRange, bool)> = Vec::new();
        for (pointer, mapping) in &self.stacks.live {
            let low = pointer.0.saturating_sub(scan::dead::RED_ZONE).max(mapping.start.0);
            stacks.push((RunRange::new(low, mapping.end.0), stale_returns));
        }
        stacks.sort_unstable();
        let mut dead = dead_ranges(ground.space, threads, &self.stacks.live, request.memory);
        if let Some(blocks) = &ground.blocks {
            dead.extend(blocks.ranges(threads));
        }
        dead.sort_unstable();
        let returns = self.stacks.returns.clone();
        Ok(Sites {
            stacks,
            returns,
            loader: super::loader::data_ranges(ground.space, &ground.loaded),
            handled: HashSet::new(),
            dead,
        })
    }

    /// The finished rewrite, unless something is in the way.
    fn finish(mut self) -> Result<Rewrite, PlanError> {
        if !self.blockers.is_empty() {
            return Err(PlanError::Blocked(self.blockers));
        }
        let placement = self.ground.placement;
        let kept = mappings::pages(std::mem::take(&mut self.kept));
        let mut contents = self.image.contents(placement.new_bias());
        for range in &kept {
            let bytes = read_bytes(self.request.memory, range.start, range.len() as usize)?;
            contents.push(Contents { address: range.start, bytes });
        }
        let dropped = self.address_space(&kept);
        let generation = self.generation(&kept);
        contents.push(self.annex(&generation)?);
        contents.sort_unstable_by_key(|part| part.address);
        self.report.retained_bytes =
            generation.retained.iter().filter(|retained| retained.readable).map(|retained| retained.range.len()).sum();
        self.report.assumptions = super::assumptions();
        self.snapshot.generations = vec![generation];
        self.modules();
        let mut patches = self.patches;
        patches.sort_unstable_by_key(|patch| patch.address);
        patches.dedup_by_key(|patch| patch.address);
        let resolvers: Vec<Resolver> = std::mem::take(&mut self.ground.linked.resolvers);
        let protect_after = mappings::relro(&self.request.new.elf, placement.new_bias()).into_iter().collect();
        let shared = self.shared;
        Ok(Rewrite { snapshot: self.snapshot, patches, shared, contents, dropped, resolvers, protect_after, report: self.report })
    }

    /// Lays out the new address space; gives the ranges of the old one that go.
    fn address_space(&mut self, kept: &[RunRange]) -> Vec<RunRange> {
        let (placement, annex) = (self.ground.placement, self.ground.annex);
        let mut dropped = vec![placement.old_range()];
        if !annex.is_empty() {
            dropped.push(annex);
        }
        let earlier = self.request.snapshot.generations.first().map_or(&[][..], |generation| &generation.retained);
        let used: HashSet<RunRange> = self.literals.iter().filter(|literal| literal.used).map(|literal| literal.range).collect();
        dropped.extend(earlier.iter().map(|retained| retained.range).filter(|range| !used.contains(range)));
        let dropped = mappings::pages(dropped);
        let new = &self.request.new.elf;
        let Some(space) = self.snapshot.address_spaces.first_mut() else { return dropped };
        space.mappings = mappings::without(&space.mappings, &dropped);
        space.mappings.extend(kept.iter().map(|range| mappings::anonymous(*range, mappings::READ)));
        space.mappings.extend(self.ground.reservations(kept).into_iter().map(mappings::reserved));
        space.mappings.extend(mappings::segments(new, placement.new_bias(), self.request.file));
        space.mappings.push(mappings::anonymous(placement.annex(), mappings::READ));
        space.mappings.sort_unstable_by_key(|mapping| mapping.range);
        let [start_code, end_code, start_data, end_data] = mappings::code_and_data(new, placement.new_bias());
        let layout = &mut space.layout;
        (layout.start_code, layout.end_code, layout.start_data, layout.end_data) = (start_code, end_code, start_data, end_data);
        layout.auxv = auxv::rewritten(&layout.auxv, new, placement.new_bias());
        layout.exe.clone_from(&self.request.file.path);
        dropped
    }

    fn generation(&self, kept: &[RunRange]) -> Generation {
        let before = self.request.snapshot.generations.first().cloned().unwrap_or_default();
        let build_id = self.request.old.elf.build_id.clone().unwrap_or_default();
        let used: HashMap<RunRange, bool> = self.literals.iter().map(|literal| (literal.range, literal.used)).collect();
        let mut retained: Vec<Retained> = before
            .retained
            .into_iter()
            .filter(|retained| retained.readable && used.get(&retained.range) == Some(&true))
            .collect();
        let mut add = |range: &RunRange, readable| {
            retained.push(Retained { range: *range, generation: before.count, build_id: build_id.clone(), readable });
        };
        kept.iter().for_each(|range| add(range, true));
        self.ground.reservations(kept).iter().for_each(|range| add(range, false));
        retained.sort_unstable_by_key(|retained| retained.range);
        Generation { count: before.count + 1, retained }
    }

    fn annex(&self, generation: &Generation) -> Result<Contents, PlanError> {
        let annex = self.ground.placement.annex();
        let full = |error: generations::RecordError| {
            let what = "what earlier updates retained".to_owned();
            let expected = "a record that fits".to_owned();
            PlanError::Blocked(vec![Blocker::Unsupported { what, expected, found: error.to_string() }])
        };
        let mut bytes = generations::encode(generation, annex.len()).map_err(full)?;
        bytes.resize(generations::RECORD_ROOM as usize, 0);
        bytes.extend(self.ground.versions.bytes(self.ground.placement.new_bias()));
        bytes.resize(annex.len() as usize, 0);
        Ok(Contents { address: annex.start, bytes })
    }

    fn modules(&mut self) {
        let placement = self.ground.placement;
        let file = self.request.file;
        if let Some(module) = self.snapshot.modules.iter_mut().find(|module| module.address_space == 0) {
            module.path.clone_from(&file.path);
            module.build_id.clone_from(&file.build_id);
            module.bias = RunAddress(placement.new_bias());
            module.range = placement.new_range();
        }
        self.snapshot.manifest.program = file.clone();
    }
}

impl Ground<'_> {
    /// What stays reserved of the old program's range for one generation.
    fn reservations(&self, kept: &[RunRange]) -> Vec<RunRange> {
        let old = self.placement.old_range();
        let whole = RunRange { start: old.start, end: old.end.max(self.annex.end) };
        mappings::subtract(whole, kept)
    }
}

/// The process's own pages outside `gone`.
fn scan_ranges(request: &Request<'_>, gone: &[RunRange]) -> Vec<RunRange> {
    request.memory.own_pages().iter().flat_map(|range| mappings::subtract(*range, gone)).collect()
}

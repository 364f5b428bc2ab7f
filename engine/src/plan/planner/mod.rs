//! The order of a plan: link, decide values, find where threads are, rewrite words, lay out the new address space.

mod data;
mod dead_slots;
pub mod early;
mod finish;
mod fixed;
mod frames;
mod ground;
mod sequences;
mod signal_state;

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::address::{NewLink, OldLink};
use super::blocker::{Blocker, PlanError, PointerReason};
use super::generations;
use super::globals::{self, FreshContext};
use super::image::DataImage;
use super::link::canonical;
use super::link::interpose::{Program, interposed_slots};
use super::link::relocate::CopiedObject;
use super::loader::{self, auxv};
use super::moves::Moves;
use super::owners::Owners;
use super::pointers::{Fates, Pointers};
use super::request::Request;
use super::rewrite::{Allocations, Patch, Report, Rewrite, SharedWord};
use super::safe_point::{self, Examiner, Stacks};
use super::scan::{
    self,
    dead::{self, dead_ranges},
    filter::Filter,
    sites::{Sites, merged},
};
use super::scope_blockers::{self, StackSwitches};
use super::source::{SourceError, read_bytes, read_word};
use super::tls;
use super::tls_growth::{CodeOf, SlotError};
use super::words::{Holder, OldLiteral, Words};
use super::{kernel_words, mappings};
use crate::program::address::LinkAddress;
use crate::program::unwind::LoadedModule;
use frames::Frames;
use ground::{Ground, Stop, initial_image, libc_name};
/// Plans one update.
///
/// # Errors
/// All reasons not to update, or memory that cannot be read.
pub fn plan(request: &Request<'_>) -> Result<Rewrite, PlanError> {
    let mut blockers = request.comparison.blockers.clone();
    blockers.extend(scope_blockers::check(request));
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
    if !request.policy.complete
        && planner.blockers.iter().any(|blocker| matches!(blocker, Blocker::ActiveFunction { .. } | Blocker::Restart { .. }))
    {
        return Err(PlanError::Blocked(planner.blockers));
    }
    planner.words()?;
    planner.finish()
}

/// A plan in the making.
struct Planner<'a> {
    request: &'a Request<'a>,
    ground: Ground<'a>,
    blockers: Vec<Blocker>,
    report: Report,
    fates: Fates,
    stacks: Stacks,
    frames: Frames,
    image: DataImage,
    patches: Vec<Patch>,
    shared: Vec<SharedWord>,
    allocations: Allocations,
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
            frames: Frames::default(),
            image: DataImage::default(),
            patches: Vec::new(),
            shared: Vec::new(),
            allocations: Allocations::default(),
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
        self.fates.updated_before = self.request.snapshot.generations.iter().any(|generation| generation.count > 0);
        self.fates.stubs = fixed::stubs(&self.canonical());
        self.return_copies();
        self.learn_selected();
        let (old, data) = (&self.request.old.elf, &self.ground.data);
        self.blockers.extend(globals::unknown_changes(comparison, old, data, &self.ground.placement));
        let new_bias = self.ground.placement.new_bias();
        self.blockers.extend(globals::unset(comparison, data, new_bias, &mut self.report));
        match initial_image(self.request.new) {
            Ok(image) => self.image = image,
            Err(blocker) => self.blockers.push(*blocker),
        }
        let (new, bias, lazy) = (&self.request.new.elf, self.ground.placement.new_bias(), self.ground.lazy);
        for (place, word) in &self.ground.linked.words {
            if !self.image.set_word(place.0, *word) {
                self.blockers.push(Blocker::Relocation { relocation: 0, address: RunAddress(place.0.0), symbol: None });
            }
        }
        let fresh = FreshContext { memory: self.request.memory, new_bias: bias };
        let types = &self.request.old.debug.types;
        self.blockers.extend(globals::make_fresh(comparison, types, &mut self.image, &fresh));
        if !self.ground.dynamic.write(new, bias, lazy, &mut self.image) {
            let what = ".dynamic of the new program is not writable".to_owned();
            self.blockers.push(Blocker::LoaderRecord { what, libc: libc_name(&self.ground.loaded) });
        }
    }

    /// Selectors of indirect functions that are unchanged need not run again: what they chose is in the old program's slots.
    fn learn_selected(&mut self) {
        let ground = &mut self.ground;
        let pointers = Pointers { view: ground.view, placement: ground.placement, fates: &self.fates };
        let resolvers = std::mem::take(&mut ground.linked.resolvers);
        for resolver in resolvers {
            let chosen = ground.chosen(&pointers, resolver.function);
            let Some(chosen) = chosen else {
                ground.linked.resolvers.push(resolver);
                continue;
            };
            for (slot, addend) in resolver.slots {
                let place = NewLink::new(slot.0.wrapping_sub(ground.placement.new_bias()));
                ground.linked.words.push((place, chosen.wrapping_add_signed(addend)));
            }
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

    /// Unwinds all threads, and lays out their new stacks.
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
        let continuations = self.request.continuations;
        let memory = self.request.memory;
        let libraries = &ground.loaded;
        let (space, restarts) = (ground.space, self.request.comparison.bound.restarts.as_slice());
        let (view, placement) = (&ground.view, &ground.placement);
        let was_updated = self.request.snapshot.generations.first().is_some_and(|generation| generation.count > 0);
        let examiner = Examiner { view, placement, libraries, continuations, memory, space, restarts, was_updated };
        self.stacks = safe_point::examine(&examiner, threads, ground.space, &modules, self.request.memory);
        self.blockers.append(&mut self.stacks.blockers);
        self.patches.append(&mut self.stacks.patches);
        self.report.warnings.append(&mut self.stacks.warnings);
        self.tell_restarts();
        self.lay_out();
    }

    /// What a person should know of functions that threads enter anew.
    fn tell_restarts(&mut self) {
        for restart in &self.request.comparison.bound.restarts {
            let standings = self.stacks.standings.iter().flatten();
            let is_entered = standings.into_iter().any(|standing| match standing {
                safe_point::Standing::Entered(continuation) => continuation.function == restart.function,
                _ => false,
            });
            let is_refused = self
                .blockers
                .iter()
                .any(|blocker| matches!(blocker, Blocker::Restart { function, .. } if *function == restart.name));
            if is_entered {
                self.report.start_up_calls.extend(restart.start_up.iter().cloned());
            } else if !is_refused {
                self.report
                    .warnings
                    .push(format!("no thread enters `{}`: none is where the spec wants it to begin anew", restart.name));
            }
        }
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
        let guard = self.guard()?;
        let mut data = self.find_data();
        let objects = Arc::new(self.place_data(&mut data));
        if !request.comparison.bound.calls.is_empty() || self.calls_before_frames() {
            self.check_allocator_idle("malloc, and functions of the new program are to be called");
        }
        let program_break = self.ground.space.layout.program_break();
        let moves =
            self.moves().with_objects(Arc::clone(&objects), std::mem::take(&mut data.sites), (data.heap.take(), program_break));
        let moves = Arc::new(moves.with_frames(self.frames.moves.clone()));
        self.fill_new_copies()?;
        let mut sites = self.sites(&moves)?;
        if moves.objects().is_empty() {
            // What keeps them from being rewritten is told: their words are not judged as those of memory without a type.
            sites.dead.extend(data.ranges());
            sites.dead = merged(std::mem::take(&mut sites.dead));
        }
        self.thread_local_slots()?;
        let loader = self.loader_patches()?;
        sites.handled.extend(loader.iter().chain(&self.patches).map(|patch| patch.address));
        sites.handled.extend(self.overridden_words());
        self.patches.extend(loader);
        let heap = self.heap_of_fixed();
        let typing = heap.as_ref().map(|heap| self.typing(heap, guard)).transpose()?;
        let filter = self.filter(&moves, guard);
        let owners = Owners::new(request.snapshot, &self.ground.loaded);
        let describe = |address: RunAddress| owners.describe(address);
        let ground = &self.ground;
        let pointers = Pointers { view: ground.view, placement: ground.placement, fates: &self.fates };
        let literals = std::mem::take(&mut self.literals);
        let mut words = Words::new(pointers, request.memory, guard, &describe, literals, Arc::clone(&moves));
        words.typing = typing.as_ref();
        words.active = Arc::clone(&self.stacks.active);
        words.idle = Arc::new(self.idle_registers());
        let types = &request.old.debug.types;
        let places = (&ground.placement, &sites);
        let fixups = globals::carry(request.comparison, types, &ground.data, &self.fates, places, &mut words, &mut self.image);
        self.allocations.fixups.extend(fixups);
        if let Some(blocks) = &ground.blocks {
            let builds = (request.old, request.new);
            let threads = &request.snapshot.threads;
            self.patches.extend(tls::carry(blocks, request.comparison, builds, threads, &mut words, &mut self.report)?);
        }
        let filled = self.fill_data(&data, moves.objects(), &filter, &mut words);
        let ranges = scan_ranges(request, &[ground.placement.old_range(), ground.annex]);
        let scanned = scan::scan(&ranges, &filter, &sites, &mut words)?;
        let shared = scan::scan_shared(&mappings::shared_memory(&ground.space.mappings), &filter, &mut words);
        let unnamed = scan::scan(request.memory.shared_pages(), &filter, &sites, &mut words)?;
        for Patch { address, word } in unnamed.patches {
            let old = read_word(request.memory, address)?;
            if Allocations::may_hold(word) {
                words.block(old, PointerReason::NewBlock, false, Holder::Memory { address });
            }
            self.shared.push(SharedWord { address, old, new: word });
        }
        let bases: Vec<u64> = request.snapshot.threads.iter().map(|thread| thread.registers.fs_base).collect();
        let made = frames::make(&self.frames, &self.stacks.frames, &bases, request.memory, &mut words);
        let jumps = frames::jump_words(&self.frames, &made, request.memory, &words, &|place| ground.is_code(place));
        frames::clear_registers(&mut self.snapshot.threads, &self.frames, &made);
        kernel_words::rewrite(&mut self.snapshot, &request.comparison.bound.rules, &mut words);
        self.patches.extend(scanned.patches);
        self.report.words_scanned = scanned.words + unnamed.words + shared;
        self.report.words_rewritten = words.rewritten;
        self.report.words_mangled = words.mangled;
        self.blockers.extend(words.take_blockers());
        let run = |link: OldLink| ground.placement.old_run(link).0.0;
        self.kept = words.kept.iter().map(|(start, end)| RunRange::new(run(*start), run(*end))).collect();
        self.literals = std::mem::take(&mut words.literals);
        // Objects are many: what knows them goes before they are taken apart.
        drop((words, sites, moves));
        self.take_frames(made, jumps);
        let waiting = self.patches.iter().filter(|patch| Allocations::may_hold(patch.word));
        self.allocations.fixups.extend(waiting.map(|patch| patch.address));
        self.store_data(&data, filled, Arc::unwrap_or_clone(objects));
        self.store_frames();
        self.store_settings();
        self.tell_stacks();
        Ok(())
    }

    /// What may be a pointer to something that moves. Literals of a fixed-address program lie far from it.
    fn filter(&self, moves: &Moves, guard: u64) -> Filter {
        let literals: Vec<RunRange> = self.literals.iter().map(|literal| literal.range).collect();
        let program = self.ground.placement.old_range();
        let filter = match self.ground.placement.is_fixed() {
            true => Filter::new(program, &[], moves.ranges().chain(literals).collect(), guard).and_halfway(),
            false => Filter::new(program, &literals, moves.ranges().collect(), guard),
        };
        filter.and_mangled(moves.frames().ranges())
    }

    /// Slots and records that name offsets of thread-local storage that moves.
    fn thread_local_slots(&mut self) -> Result<(), PlanError> {
        let (memory, ground) = (self.request.memory, &self.ground);
        let Some(blocks) = &ground.blocks else { return Ok(()) };
        match blocks.growth.slot_patches(&ground.loaded, memory) {
            Ok(patches) => {
                let offsets = blocks.growth.old_offsets(&patches, memory);
                let program = CodeOf { elf: &self.request.old.elf, unwind: &self.request.comparison.unwind };
                let libraries =
                    ground.loaded.iter().map(|loaded| CodeOf { elf: &loaded.library.elf, unwind: &loaded.library.unwind });
                let modules: Vec<CodeOf<'_>> = std::iter::once(program).chain(libraries).collect();
                self.blockers.extend(blocks.growth.offsets_in_use(&offsets, &self.stacks.registers, &modules));
                self.patches.extend(patches);
            }
            Err(SlotError::Descriptor(library)) => {
                let what = format!("{library} describes its variables by TLSDESC and cannot be followed");
                let (old, new) = (blocks.old.memory_size, blocks.new.map_or(0, |new| new.memory_size));
                self.blockers.push(Blocker::ThreadLocal { what, old, new, room: blocks.old_offset });
            }
            Err(SlotError::Source(error)) => return Err(error.into()),
        }
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
        let unknown = |error: loader::record::RecordError| {
            PlanError::Blocked(vec![Blocker::LoaderRecord { what: error.to_string(), libc: libc_name(&ground.loaded) }])
        };
        let tls_offset = ground.blocks.as_ref().map(|blocks| blocks.new_offset);
        let mut patches = ground.record.rewrite(new, to, table, tls_offset).map_err(unknown)?;
        patches.extend(loader::leftovers(&ground.record, &ground.placement, &patches, ground.annex, request.memory)?);
        patches.extend(auxv::stack_patches(ground.space, request.memory, (old, from), (new, to))?);
        let comparison = request.comparison;
        let before = Program { elf: old, index: &comparison.old_index, bias: from };
        let after = Program { elf: new, index: &comparison.new_index, bias: to };
        patches.extend(interposed_slots(before, after, &ground.loaded, request.memory)?);
        patches.extend(canonical::slots(&self.canonical(), &ground.loaded, request.memory)?);
        let ranges = loader::data_ranges(ground.space, &ground.loaded);
        let record = ground.record.address();
        patches.extend(loader::known_words(&ranges, (old, from), (new, to), record, request.memory)?);
        patches.extend(self.announced_sequences()?);
        Ok(patches)
    }

    fn version_table(&self) -> RunAddress {
        RunAddress(self.ground.placement.annex().start.0 + generations::RECORD_ROOM)
    }

    fn sites(&self, moves: &Arc<Moves>) -> Result<Sites, SourceError> {
        let (request, ground) = (self.request, &self.ground);
        let threads = &request.snapshot.threads;
        let switches = scope_blockers::switches_stacks(request.old, &ground.loaded);
        let mut stacks: Vec<(RunRange, bool)> = Vec::new();
        for (pointer, mapping) in &self.stacks.live {
            let low = pointer.0.saturating_sub(scan::dead::RED_ZONE).max(mapping.start.0);
            let stale_returns = match switches {
                StackSwitches::None => true,
                StackSwitches::Apart => self.is_whole_stack(*mapping),
                StackSwitches::Anywhere => false,
            };
            stacks.push((RunRange::new(low, mapping.end.0), stale_returns));
        }
        stacks.sort_unstable();
        let mut dead = dead_ranges(ground.space, threads, &self.stacks.live, request.memory);
        if let Some(blocks) = &ground.blocks {
            dead.extend(blocks.ranges(threads));
        }
        dead.extend(self.dead_slots(moves));
        dead.extend(self.frames.dead());
        dead.extend(self.unwritten_state());
        let returns = self.stacks.returns.clone();
        Ok(Sites {
            stacks,
            returns,
            loader: loader::data_ranges(ground.space, &ground.loaded),
            handled: HashSet::new(),
            dead: merged(dead),
            moves: Arc::clone(moves),
        })
    }

    /// Whether a mapping is one thread's stack and nothing else.
    fn is_whole_stack(&self, range: RunRange) -> bool {
        let (space, threads) = (self.ground.space, &self.request.snapshot.threads);
        let mapping = space.mappings.iter().find(|mapping| mapping.range == range);
        mapping.is_some_and(|mapping| dead::is_whole_stack(space, mapping, threads, self.request.memory))
    }
}

/// The process's own pages outside `gone`.
fn scan_ranges(request: &Request<'_>, gone: &[RunRange]) -> Vec<RunRange> {
    request.memory.own_pages().iter().flat_map(|range| range.without(gone)).collect()
}

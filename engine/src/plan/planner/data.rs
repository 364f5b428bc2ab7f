//! Objects whose type changes: found, placed, made anew, and stored where they belong.

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::Planner;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::answers;
use crate::plan::blocker::Blocker;
use crate::plan::compare::pairs::Partner;
use crate::plan::data::interest::Interested;
use crate::plan::data::made::Made;
use crate::plan::data::recipe::Origin;
use crate::plan::data::rewrite::{self, Filled, Final, Home, Object, Place, RewriteProblem, Rewriter, Variable};
use crate::plan::heap::{self, Heap, HeapDefect, HeapView, MallocFamily};
use crate::plan::loader;
use crate::plan::rewrite::{Allocations, Allocator, NewBlock, OtherAllocations, Stored};
use crate::plan::scan::filter::Filter;
use crate::plan::spec::Initial;
use crate::plan::walk::{self, Found, PointerSite, ThreadStack, Walked};
use crate::plan::words::Words;
use crate::program::address::LinkAddress;
use crate::program::types::{Shape, TypeId};

/// Threads that make objects: as many as scan.
const THREADS: usize = 2;
/// Cleared blocks and origins that the report lists.
const LISTED: usize = 1000;

/// The objects to rewrite.
#[derive(Default)]
pub(super) struct Data {
    objects: Vec<Object>,
    variables: Vec<Variable>,
    made: Made,
    /// Pointers to objects of changed types, ascending.
    pub(super) sites: Vec<PointerSite>,
    /// The heap, where it can be read.
    pub(super) heap: Option<Heap>,
}

impl Data {
    /// Where the objects outside variables are.
    pub(super) fn ranges(&self) -> impl Iterator<Item = RunRange> {
        self.objects.iter().map(|object| RunRange::new(object.address.0, object.address.0.saturating_add(object.length)))
    }
}

impl Planner<'_> {
    /// Finds every object of a changed type.
    pub(super) fn find_data(&mut self) -> Data {
        let changes = &self.request.comparison.data;
        let mut data = Data::default();
        if changes.is_empty() {
            return data;
        }
        self.variables(&mut data);
        self.thread_variables(&mut data);
        if !changes.types.is_empty() {
            let heap = self.heap();
            let walked = self.walk(&heap);
            self.take(walked, &heap, &mut data);
            data.heap = match heap {
                HeapView::Readable(heap) => Some(heap),
                HeapView::Unreadable(_) | HeapView::Unknown(_) => None,
            };
        }
        data.objects.sort_unstable_by_key(|object| object.address);
        data.made = self.have_made(&data);
        data
    }

    /// The heap, which cannot be read, for a moment, where a thread is changing it.
    pub(super) fn heap(&self) -> HeapView {
        let request = self.request;
        match heap::read(request.snapshot, &request.old.elf, &self.ground.loaded, request.memory) {
            HeapView::Unreadable(defect) if !defect.is_transient() => HeapView::Unreadable(match self.inside_malloc().first() {
                Some((tid, _)) => HeapDefect::Inside { tid: *tid, defect: Box::new(defect) },
                None => defect,
            }),
            heap => heap,
        }
    }

    /// Lets plugins make their objects.
    fn have_made(&mut self, data: &Data) -> Made {
        let wanted = self.rewriter(data).wanted(&data.objects);
        let Some(maker) = self.request.maker.filter(|_| !wanted.is_empty()) else { return Made::default() };
        // A plugin may take long, and what it makes would be thrown away.
        if !self.blockers.is_empty() {
            return Made::missing();
        }
        match maker.make(&wanted, self.request.memory) {
            Ok(made) => made,
            Err(error) => {
                self.blockers.push(answers::plugin(error.as_ref()));
                Made::missing()
            }
        }
    }

    /// Variables outside functions, and static ones.
    fn variables(&mut self, data: &mut Data) {
        let request = self.request;
        let sides = &request.comparison.sides;
        for (&index, compiled) in &request.comparison.data.variables {
            let (Ok(recipe), Some(old), Some(Partner::One(partner))) =
                (compiled, sides.old.objects.list().get(index), sides.objects.get(index))
            else {
                continue;
            };
            let Some(new) = sides.new.objects.list().get(*partner) else { continue };
            let Some(initial) = self.image.slice(new.start, new.size) else { continue };
            let is_carried = self.fates.carried.get(index).copied().unwrap_or(false);
            let to = self.ground.placement.new_run(NewLink(new.start)).0;
            let variable = Variable { recipe: Arc::clone(recipe), initial: initial.to_vec(), to, is_carried };
            let from = self.ground.placement.old_run(OldLink(old.start)).0;
            data.add(variable, (from, old.size), old.kind);
        }
    }

    /// Thread-local ones.
    fn thread_variables(&mut self, data: &mut Data) {
        let request = self.request;
        let (Some(blocks), sides) = (&self.ground.blocks, &request.comparison.sides) else { return };
        let Some(new_block) = blocks.new else { return };
        let images = (crate::plan::tls::image(request.old, &blocks.old), crate::plan::tls::image(request.new, &new_block));
        for (&index, compiled) in &request.comparison.data.locals {
            let (Some(old), Some(Partner::One(partner))) = (sides.old.locals.list().get(index), sides.locals.get(index)) else {
                continue;
            };
            let Some(new) = sides.new.locals.list().get(*partner) else { continue };
            let part = |bytes: &[u8], start: LinkAddress, size: u64| {
                bytes.get(start.0 as usize..start.0.saturating_add(size) as usize).map(<[u8]>::to_vec)
            };
            let (Some(was), Some(initial)) = (part(&images.0, old.start, old.size), part(&images.1, new.start, new.size)) else {
                continue;
            };
            for thread in &request.snapshot.threads {
                let from = RunAddress(blocks.old_start(thread).wrapping_add(old.start.0));
                let mut is = vec![0; was.len()];
                let is_carried = match request.comparison.data.told_locals.get(&index) {
                    Some(initial) => *initial == Initial::Keep,
                    None => request.memory.read(from, &mut is).is_ok() && is != was,
                };
                match compiled {
                    Ok(recipe) => {
                        let to = RunAddress(blocks.new_start(thread).wrapping_add(new.start.0));
                        let variable = Variable { recipe: Arc::clone(recipe), initial: initial.clone(), to, is_carried };
                        data.add(variable, (from, old.size), old.kind);
                    }
                    Err(questions) if is_carried => {
                        self.blockers.extend(questions.iter().map(|question| answers::question(question, from)));
                        break;
                    }
                    Err(_) => {}
                }
            }
        }
    }

    fn walk(&self, heap: &HeapView) -> Walked {
        self.with_scene(heap, walk::walk)
    }

    /// What `look` finds in the process.
    pub(super) fn with_scene<T>(&self, heap: &HeapView, look: impl FnOnce(&walk::Scene<'_>) -> T) -> T {
        let (request, ground) = (self.request, &self.ground);
        let changes = &request.comparison.data.types;
        let rules = &request.comparison.bound.rules;
        let unused = &request.comparison.accepted.unused_types;
        let interest = Interested { old: request.old, changes, rules, unused, memory: request.memory };
        let stacks: Vec<ThreadStack<'_>> =
            self.stacks.frames.iter().map(|(tid, frames)| ThreadStack { tid: *tid, frames }).collect();
        let system = loader::data_ranges(ground.space, &ground.loaded).into_iter();
        let libc = heap::allocator(&request.old.elf, &ground.loaded).ok().map(|library| library.range);
        let writable = ground.space.mappings.iter().filter(|mapping| mapping.protection.write);
        let libc = writable.filter_map(|mapping| mapping.range.intersection(&libc?));
        let system: Vec<RunRange> = system.chain(libc).collect();
        look(&walk::Scene {
            build: request.old,
            bias: ground.placement.old_bias(),
            program: ground.placement.old_range(),
            snapshot: request.snapshot,
            memory: request.memory,
            heap,
            stacks: &stacks,
            system: &system,
            interest: &interest,
        })
    }

    /// What the walk found outside the program's variables; its problems become blockers.
    fn take(&mut self, walked: Walked, heap: &HeapView, data: &mut Data) {
        let accepted = &self.request.comparison.accepted;
        let is_open = |problem: &walk::Problem| match problem {
            walk::Problem::UnreadableHeap { kind, passing: false, .. } => !accepted.is_unused(kind),
            _ => true,
        };
        let mut problems: Vec<walk::Problem> = walked.problems.into_iter().filter(is_open).collect();
        // Without the heap nothing is known of blocks, and whatever else is told of objects follows from that.
        let heap_is_missing = |problem: &walk::Problem| matches!(problem, walk::Problem::UnreadableHeap { .. });
        if problems.iter().any(heap_is_missing) {
            problems.retain(heap_is_missing);
            return self.blockers.extend(problems.into_iter().map(answers::problem));
        }
        self.blockers.extend(problems.into_iter().map(answers::problem));
        if self.request.policy.strict && !accepted.cleared_blocks {
            self.blockers.extend(walked.cleared.iter().take(LISTED).cloned().map(answers::cleared));
        }
        let cleared = walked.cleared.iter().take(LISTED);
        self.report.cleared.extend(cleared.map(|block| format!("{} ({} bytes): {}", block.address, block.usable, block.reason)));
        data.sites = walked.sites;
        let placement = self.ground.placement;
        let blocks = self.ground.blocks.as_ref().map(|blocks| blocks.ranges(&self.request.snapshot.threads));
        let variables = blocks.unwrap_or_default();
        for found in walked.found {
            let is_variable =
                placement.old_range().contains(found.address) || variables.iter().any(|range| range.contains(found.address));
            if is_variable {
                continue;
            }
            let mut object = self.object(&found, heap);
            if self.takes_place_of_frame(&mut object) {
                match self.given_by_frame(&object) {
                    Some((variable, kind)) => data.add(variable, (object.address, object.length), kind),
                    None => data.objects.push(object),
                }
            }
        }
    }

    fn object(&self, found: &Found, heap: &HeapView) -> Object {
        let types = &self.request.old.debug.types;
        let block = found.block.and_then(|index| heap.heap()?.block(index));
        let (kind, each) = elements(types, found.kind);
        let allocator = self.request.comparison.bound.rules.allocators.get(&kind).filter(|_| !self.is_on_stack(found.address));
        let home = match (block.filter(|_| found.whole), allocator) {
            (Some(block), _) => Home::Block { usable: block.usable },
            (None, Some(_)) => Home::Own,
            (None, None) => Home::Part,
        };
        let size = types.size_of(Some(found.kind)).unwrap_or(0);
        let most = u64::from(found.most).saturating_mul(size).max(found.length);
        let length = match block {
            Some(block) => most.min(block.usable.saturating_sub(found.address.0 - block.address.0)),
            None => found.length,
        };
        let count = if found.length > u64::from(found.count).saturating_mul(size) {
            1
        } else {
            u32::try_from(length.checked_div(size).unwrap_or(1).saturating_mul(each)).unwrap_or(u32::MAX)
        };
        let spare = match home {
            Home::Block { usable } if found.counted && size > 0 => {
                (usable / size).saturating_sub(found.count.into()).saturating_mul(each)
            }
            _ => 0,
        };
        let spare = u32::try_from(spare).unwrap_or(u32::MAX);
        Object { address: found.address, kind, count, length, spare, home }
    }

    /// Decides where the objects go.
    pub(super) fn place_data(&mut self, data: &mut Data) -> rewrite::Moves {
        if data.objects.is_empty() {
            self.check_objects_of_frames(&rewrite::Moves::default());
            return rewrite::Moves::default();
        }
        match self.rewriter(data).place(&data.objects) {
            Ok(moves) => {
                self.check_objects_of_frames(&moves);
                if moves.new_blocks() > 0 {
                    self.check_allocator();
                    self.check_own_allocators(&moves);
                }
                // From here on the moves say all of them.
                data.objects = Vec::new();
                moves
            }
            Err(problems) => {
                self.refuse(&problems);
                rewrite::Moves::default()
            }
        }
    }

    /// Makes the objects.
    pub(super) fn fill_data(
        &self,
        data: &Data,
        moves: &rewrite::Moves,
        filter: &Filter,
        words: &mut Words<'_>,
    ) -> Result<Filled, Vec<RewriteProblem>> {
        match moves.is_empty() {
            true => Ok(Filled::default()),
            false => self.rewriter(data).fill(moves, (filter, words), THREADS),
        }
    }

    fn rewriter<'r>(&'r self, data: &'r Data) -> Rewriter<'r> {
        let request = self.request;
        Rewriter {
            types: &request.old.debug.types,
            recipes: &request.comparison.data.recipes,
            rules: &request.comparison.bound.rules,
            memory: request.memory,
            new_bias: self.ground.placement.new_bias(),
            made: &data.made,
            variables: &data.variables,
        }
    }

    /// Finds `malloc` and `free`; no thread may be inside them when blocks are made.
    fn check_allocator(&mut self) {
        let ground = &self.ground;
        let Ok(libc) = heap::allocator(&self.request.old.elf, &ground.loaded) else { return };
        let address = |name: &str| {
            let symbol = libc.library.index.lookup(&libc.library.elf, name, None)?;
            Some(RunAddress(libc.bias.wrapping_add(symbol.address.0)))
        };
        match address("malloc").zip(address("free")) {
            Some((allocate, release)) => self.allocations.allocator = Some(Allocator { allocate, release }),
            None => {
                let (what, expected) = ("the C library".to_owned(), "malloc and free".to_owned());
                self.blockers.push(Blocker::Unsupported { what, expected, found: "neither of them".to_owned() });
            }
        }
        self.check_allocator_idle("malloc, and objects need larger blocks");
    }

    /// No thread may be inside the allocator when functions run that may allocate: they would wait for it for ever.
    pub(super) fn check_allocator_idle(&mut self, what: &str) {
        let inside = self.inside_malloc();
        self.blockers.extend(inside.into_iter().map(|(tid, address)| Blocker::UnsafePlace {
            tid,
            what: what.to_owned(),
            address,
        }));
    }

    /// The threads that are inside malloc, and where.
    fn inside_malloc(&self) -> Vec<(i32, RunAddress)> {
        let ground = &self.ground;
        let Ok(libc) = heap::allocator(&self.request.old.elf, &ground.loaded) else { return Vec::new() };
        let position = ground.loaded.iter().position(|library| library.range == libc.range);
        let family = MallocFamily::new(libc, position.map_or(usize::MAX, |position| position + 1));
        let inside = self.stacks.frames.iter().filter(|(_, frames)| family.is_active(frames));
        inside.map(|(tid, frames)| (*tid, frames.first().map_or(RunAddress(0), |frame| frame.pc))).collect()
    }

    /// No thread may be inside a function that makes or frees objects of its own.
    fn check_own_allocators(&mut self, moves: &rewrite::Moves) {
        let links = moves.allocators().flat_map(|allocator| [Some(allocator.allocate), allocator.free]).flatten();
        let new = &self.request.comparison.sides.new.functions;
        let named: HashSet<usize> = links.filter_map(|link| new.at_entry(link.0)).collect();
        for (tid, frames) in &self.stacks.frames {
            for frame in frames.iter() {
                let link = LinkAddress(frame.pc.0.wrapping_sub(self.ground.placement.old_bias()));
                let Some((old, _)) = self.request.comparison.sides.old.functions.containing(link) else { continue };
                let partner = self.request.comparison.sides.functions.get(old).and_then(Partner::one);
                if partner.is_some_and(|partner| named.contains(&partner)) {
                    let what = "a function that makes or frees objects, and is to make new ones".to_owned();
                    self.blockers.push(Blocker::UnsafePlace { tid: *tid, what, address: frame.pc });
                }
            }
        }
    }

    fn is_on_stack(&self, address: RunAddress) -> bool {
        self.stacks.live.iter().any(|(_, range)| range.contains(address))
    }

    /// Stores the objects: variables into the new program, others over the old ones or into blocks to come.
    pub(super) fn store_data(&mut self, data: &Data, filled: Result<Filled, Vec<RewriteProblem>>, objects: rewrite::Moves) {
        match filled {
            Ok(filled) if !objects.is_empty() => {
                self.report_data(data, &objects);
                self.store(filled, objects);
            }
            Ok(_) => {}
            Err(problems) => self.refuse(&problems),
        }
    }

    fn store(&mut self, filled: Filled, objects: rewrite::Moves) {
        let placement = self.ground.placement;
        let program = placement.new_range();
        let (image, allocations) = (&mut self.image, &mut self.allocations);
        let new_blocks = objects.new_blocks();
        allocations.blocks.reserve_exact(new_blocks);
        allocations.freed.reserve_exact(new_blocks);
        // The last comes first.
        let mut left = new_blocks as u32;
        objects.take_apart(|one| match one.to {
            Place::At(address) if program.contains(address) => {
                let link = LinkAddress(address.0.wrapping_sub(placement.new_bias()));
                let start = one.bytes as usize;
                let bytes = filled.bytes.get(start..start.saturating_add(one.length as usize));
                if let Some((place, bytes)) = image.slice_mut(link, one.length).zip(bytes) {
                    place.copy_from_slice(bytes);
                }
            }
            Place::At(address) => allocations.stored.push(Stored { address, offset: one.bytes, length: one.length }),
            Place::In(_) => {
                left = left.saturating_sub(1);
                allocations.blocks.push(NewBlock { offset: one.bytes, length: one.room });
                allocate(allocations, &one, left, |link| placement.new_run(link).0);
            }
        });
        allocations.stored.sort_unstable_by_key(|stored| stored.address);
        allocations.blocks.reverse();
        allocations.freed.reverse();
        for other in &mut allocations.others {
            other.blocks.reverse();
            other.old.reverse();
        }
        allocations.fixups.extend(filled.fixups);
        allocations.marks = filled.marks;
        allocations.bytes = filled.bytes;
    }

    fn report_data(&mut self, data: &Data, objects: &rewrite::Moves) {
        self.report.objects_rewritten = objects.objects();
        self.report.objects_moved = objects.new_blocks() as u64;
        let variables = data.variables.iter().filter(|variable| variable.is_carried).map(|variable| &variable.recipe);
        let origins = objects.recipes().chain(variables).flat_map(|recipe| &recipe.origins);
        let mut origins: Vec<(String, String)> = origins.map(|(field, origin)| (field.clone(), describe(origin))).collect();
        origins.sort_unstable();
        origins.dedup();
        origins.truncate(LISTED);
        self.report.origins = origins;
    }

    fn refuse(&mut self, problems: &[RewriteProblem]) {
        let on_stack = |address: RunAddress| self.is_on_stack(address);
        let blockers: Vec<Blocker> = problems.iter().flat_map(|problem| answers::rewrite(problem, on_stack)).collect();
        for blocker in blockers {
            let is_known = self.blockers.iter().any(|known| match (known, &blocker) {
                (Blocker::Question { question: one, .. }, Blocker::Question { question: other, .. }) => one == other,
                _ => false,
            });
            if !is_known {
                self.blockers.push(blocker);
            }
        }
    }
}

/// Notes who makes the new block at `position`, and frees the old one.
fn allocate(allocations: &mut Allocations, one: &Final, position: u32, run: impl Fn(NewLink) -> RunAddress) {
    let Some(allocator) = one.allocator else { return allocations.freed.extend(one.old) };
    let (allocate, release) = (run(allocator.allocate), allocator.free.map(run));
    let known = allocations.others.iter().position(|other| (other.allocate, other.release) == (allocate, release));
    let known = known.unwrap_or_else(|| {
        allocations.others.push(OtherAllocations { allocate, release, blocks: Vec::new(), old: Vec::new() });
        allocations.others.len() - 1
    });
    if let Some((other, old)) = allocations.others.get_mut(known).zip(one.old) {
        other.blocks.push(position);
        other.old.push(old);
    }
}

impl Data {
    fn add(&mut self, variable: Variable, (address, length): (RunAddress, u64), kind: Option<TypeId>) {
        let Some(kind) = kind else { return };
        let home = Home::Variable(self.variables.len() as u32);
        self.variables.push(variable);
        self.objects.push(Object { address, kind, count: 1, length, spare: 0, home });
    }
}

fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Rule(place) => place.to_string(),
        Origin::Zero => "zero, as the new program makes it".to_owned(),
        Origin::Initial => "its initial value in the new program".to_owned(),
    }
}

/// The element type of an array, through all dimensions, and how many there are; another type is one of itself.
fn elements(types: &crate::program::types::TypeTable, kind: TypeId) -> (TypeId, u64) {
    let Shape::Array { element, .. } = &types.get(kind).shape else { return (kind, 1) };
    let (mut element, whole) = (*element, types.size_of(Some(kind)).unwrap_or(0));
    while let Some(Shape::Array { element: inner, .. }) = types.normal(element).map(|id| &types.get(id).shape) {
        element = *inner;
    }
    match (types.normal(element), types.size_of(element)) {
        (Some(inner), Some(size @ 1..)) => (inner, whole / size),
        _ => (kind, 1),
    }
}

//! The typed walk: which objects of changed types a process has, where they are, and who points to them.
//!
//! From typed roots (variables, thread-local ones, those of every frame) along typed pointers, only where types change or lead to
//! some that do. Evidence is taken in its order: single objects, then further elements of arrays by the size of their block, then
//! what may be rounding. What cannot be explained is a [`Problem`].

mod complete;
mod found;
mod heads;
mod interest;
mod items;
mod kinds;
mod locals;
mod mapped;
mod paths;
mod pieces;
mod problem;
mod queue;
mod referrers;
mod regions;
mod roots;
mod settle;
mod shape;
mod structural;
mod variables;

pub use found::{Cleared, Found, PointerSite, TypedSpan, Walked};
pub use interest::{Choice, Interest, KernelWords, Place, Pointee, Root};
pub use locals::ThreadStack;
pub use problem::{Dangling, Nothing, Problem};
pub use structural::Structural;

use std::collections::HashMap;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{AddressSpace, Snapshot};

use super::heap::{BlockIndex, HeapView};
use super::source::MemorySource;
use crate::program::build::Build;
use crate::program::types::TypeId;
use items::Item;
use kinds::Kinds;
use pieces::Pieces;
use queue::Walker;
use regions::{Region, Regions};
use variables::Globals;

/// What a walk looks at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The old build.
    pub build: &'a Build,
    /// Difference of run-time and link-time addresses of the program.
    pub bias: u64,
    /// The program's pages.
    pub program: RunRange,
    /// The process.
    pub snapshot: &'a Snapshot,
    /// Its memory.
    pub memory: &'a dyn MemorySource,
    /// Its heap.
    pub heap: &'a HeapView,
    /// The frames of all threads.
    pub stacks: &'a [ThreadStack<'a>],
    /// Writable memory of the C library and the loader: what only that leads to is their own.
    pub system: &'a [RunRange],
    /// Which types matter.
    pub interest: &'a dyn Interest,
}

/// Walks a process.
pub fn walk(scene: &Scene<'_>) -> Walked {
    let has_kernel_words =
        [KernelWords::Epoll, KernelWords::Signals].into_iter().any(|words| scene.interest.kernel_words(words).is_some());
    let everything = complete::Everything { interest: scene.interest, follows_kernel: true, pointers: false };
    // What has a type at all is walked once, at most.
    let mut all = has_kernel_words.then(|| complete::variables(scene, &everything));
    let typed = all.as_mut().map(complete::typed_blocks).unwrap_or_default();
    let (mut walker, roots) = prepare(scene, scene.interest, &typed);
    // Most of it was looked at once, and lists of what was found take its place.
    walker.pieces.forget();
    let (found, sites) = walker.settle(&roots);
    mapped::check(&mut walker, scene, &found, &roots);
    let all = || match all {
        Some(variables) => complete::with_kernel_words(variables, scene),
        None => prepare(scene, &everything, &HashMap::new()).0,
    };
    let cleared = complete::check(&mut walker, scene, all);
    Walked { found, sites, dangling: walker.dangling, problems: walker.problems, cleared, objects: walker.objects }
}

/// Everything outside stacks that has a type, whether types change or not: variables, and what typed pointers lead to.
pub fn types(scene: &Scene<'_>) -> Vec<TypedSpan> {
    let everything = complete::Everything { interest: scene.interest, follows_kernel: true, pointers: true };
    let (walker, _) = prepare(scene, &everything, &HashMap::new());
    let mut spans = roots::spans(scene);
    let items = (0u32..)
        .zip(&walker.items.list)
        .filter(|(number, item)| !walker.is_replaced(*number) && !matches!(walker.regions.find(item.address), Region::Program));
    spans.extend(items.filter_map(|(_, item)| {
        let layout = walker.kinds.get(item.kind)?;
        let length = layout.size.saturating_mul(item.most.max(item.count).into());
        let end = item.address.saturating_add(length);
        Some(TypedSpan { start: item.address, end, size: layout.size, kind: layout.id, strength: item.strength as u8 })
    }));
    spans
}

/// Follows everything from every root. Gives the variables that are walked besides. `typed` are blocks that have their types from
/// variables, whatever the user says of the words that the kernel keeps.
fn prepare<'a>(scene: &Scene<'a>, interest: &'a dyn Interest, typed: &HashMap<BlockIndex, TypeId>) -> (Walker<'a>, Vec<Item>) {
    let mut walker = start(scene, interest);
    let mut roots = roots::add(&mut walker, scene);
    walker.run();
    roots::add_kernel_words(&mut walker, scene, typed);
    walker.run();
    locals::add(&mut walker, scene, &mut roots);
    walker.run();
    walker.run_doubtful();
    (walker, roots)
}

/// A walker that has seen nothing yet.
fn start<'a>(scene: &Scene<'a>, interest: &'a dyn Interest) -> Walker<'a> {
    let kinds = Kinds::new(&scene.build.debug.types, interest);
    let empty = AddressSpace::default();
    let space = scene.snapshot.address_spaces.first().unwrap_or(&empty);
    let regions = Regions::new(space, &scene.snapshot.threads, scene.program, scene.heap.heap());
    let globals = Globals::new(scene.build, scene.bias);
    Walker::new(kinds, interest, regions, globals, Pieces::new(scene.memory))
}

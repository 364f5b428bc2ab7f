//! The typed walk: which objects of changed types a process has, where they are, and who points to them.
//!
//! From typed roots (variables, thread-local ones, those of every frame) along typed pointers, only where types change or lead to
//! some that do. Evidence is taken in its order: single objects, then further elements of arrays by the size of their block, then
//! what may be rounding. What cannot be explained is a [`Problem`].

mod found;
mod interest;
mod items;
mod kinds;
mod locals;
mod paths;
mod pieces;
mod problem;
mod queue;
mod regions;
mod roots;
mod settle;
mod structural;
mod variables;

pub use found::{Cleared, Found, PointerSite, Walked};
pub use interest::{Choice, Interest, Place, Pointee, Root};
pub use locals::ThreadStack;
pub use problem::{Dangling, Nothing, Problem};
pub use structural::Structural;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::Snapshot;

use super::heap::HeapView;
use super::source::MemorySource;
use crate::program::build::Build;
use kinds::Kinds;
use pieces::Pieces;
use queue::Walker;
use regions::Regions;
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
    /// Which types matter.
    pub interest: &'a dyn Interest,
}

/// Walks a process.
pub fn walk(scene: &Scene<'_>) -> Walked {
    let types = &scene.build.debug.types;
    let kinds = Kinds::new(types, scene.interest);
    let spaces = scene.snapshot.address_spaces.first();
    let empty = dsu_formats::model::latest::AddressSpace::default();
    let regions = Regions::new(spaces.unwrap_or(&empty), &scene.snapshot.threads, scene.program, scene.heap.heap());
    let globals = Globals::new(scene.build, scene.bias);
    let mut walker = Walker::new(kinds, scene.interest, regions, globals, Pieces::new(scene.memory));
    let mut roots = roots::add(&mut walker, scene);
    walker.run();
    locals::add(&mut walker, scene, &mut roots);
    walker.run();
    walker.run_doubtful();
    let (found, sites) = walker.settle(&roots);
    Walked { found, sites, dangling: walker.dangling, problems: walker.problems, cleared: Vec::new(), objects: walker.objects }
}

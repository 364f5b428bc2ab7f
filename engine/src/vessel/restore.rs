//! The one way from an image to a process: an emptied process in, a process before the gate out.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Descriptors, Protection, Snapshot};

use super::error::VesselError;
use super::files::MappedFiles;
use super::pages::PageProvider;
use super::{allocate, fill, mapping, pending, threads, verify};
use crate::plan::rewrite::{Allocations, Contents, Patch, Resolver};
use crate::resources;
use crate::resources::descriptors::Placed;
use crate::resources::timers::Path;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;
use crate::tracee::procfs;
use crate::tracee::release::FinalState;

/// A selector of an indirect function compares a few CPU features.
const RESOLVER_LIMIT: Duration = Duration::from_secs(2);

/// What to restore, and from where.
pub struct Restore<'a> {
    /// Everything but pages.
    pub snapshot: &'a Snapshot,
    /// Files below mappings.
    pub files: &'a MappedFiles,
    /// Pages that are carried.
    pub pages: PageProvider<'a>,
    /// Guards inside mappings (`MADV_GUARD_INSTALL`).
    pub guards: &'a [RunRange],
    /// Words to store over carried pages.
    pub patches: &'a [Patch],
    /// Bytes of mappings that a plan made.
    pub contents: &'a [Contents],
    /// Selectors of indirect functions to run.
    pub resolvers: &'a [Resolver],
    /// Blocks that the program's allocator makes and frees once all is in place.
    pub allocations: Option<&'a Allocations>,
    /// Ranges that become read-only once they are filled.
    pub protect_after: &'a [RunRange],
    /// What `/proc/PID/exe` is to show.
    pub executable: Option<BorrowedFd<'a>>,
    /// What the process had before it was emptied.
    pub origin: Origin<'a>,
}

/// Where the emptied process came from, which decides what it still has.
pub enum Origin<'a> {
    /// An exec of the same process: descriptors, credentials, limits, directories are as they were.
    Hot {
        /// When the process was stopped: timers have run on since.
        stopped_at: Instant,
    },
    /// A fresh process, which has nothing of the image's.
    Cold {
        /// Descriptions that were brought in for every descriptor of the image.
        descriptors: &'a Placed,
    },
}

/// Fills `vessel`, which is empty or was emptied again, and returns the states that its threads will go on with.
pub fn restore(vessel: &mut Emptied, what: &Restore<'_>) -> Result<Vec<FinalState>, VesselError> {
    let snapshot = what.snapshot;
    let Some((space, signals)) = snapshot.address_spaces.first().zip(snapshot.signals.first()) else {
        return Err(VesselError::Mismatch { what: "the image", expected: "one process".into(), found: "none".into() });
    };
    if let Origin::Hot { .. } = &what.origin {
        close_strays(vessel, &snapshot.descriptors)?;
    }
    step("map", vessel)?;
    // Before anything is mapped: the link to the executable cannot be changed while the old one's file is (`kernel/sys.c`,
    // `replace_mm_exe_file`), and on the way back that may be this very file.
    give_back_layout(vessel, what)?;
    mapping::map_all(vessel, &space.mappings, what.files)?;
    // Before the pages, so that several threads can fill them.
    step("threads", vessel)?;
    threads::create(vessel, &snapshot.threads)?;
    step("fill", vessel)?;
    fill::fill(vessel, &space.mappings, &what.pages)?;
    fill::patch(vessel, what.patches)?;
    fill::store(vessel, what.contents)?;
    run_resolvers(vessel, what)?;
    for range in what.protect_after {
        mapping::protect(vessel, *range, Protection { read: true, write: false, execute: false })?;
    }
    step("give-back", vessel)?;
    resources::memory::give_back_guards(vessel, what.guards)?;
    resources::memory::give_back_flags(vessel, &space.mappings)?;
    resources::signals::give_back(vessel, signals)?;
    match &what.origin {
        Origin::Hot { stopped_at } => hot(vessel, snapshot, stopped_at.elapsed())?,
        Origin::Cold { descriptors } => cold(vessel, snapshot, descriptors)?,
    }
    if space.lock_future {
        resources::memory::give_back_lock_future(vessel)?;
    }
    step("verify", vessel)?;
    verify::mappings(vessel, &space.mappings)?;
    // After the comparison: the allocator may grow the heap and map more.
    if let Some(allocations) = what.allocations {
        step("allocate", vessel)?;
        allocate::allocate(vessel, allocations, leader_thread_pointer(snapshot))?;
    }
    Ok(threads::final_states(&snapshot.threads))
}

/// What the exec took of the same process.
fn hot(vessel: &mut Emptied, snapshot: &Snapshot, stopped_for: Duration) -> Result<(), VesselError> {
    let found = &snapshot.descriptors;
    resources::descriptors::give_back_close_on_exec(vessel, found)?;
    resources::descriptors::give_back_owners(vessel, found, Path::Hot)?;
    resources::descriptors::rewrite_words(vessel, found)?;
    if let Some(credentials) = snapshot.credentials.first() {
        threads::give_back(vessel, &snapshot.threads, credentials)?;
    }
    if let Some(signals) = snapshot.signals.first() {
        pending::settle(vessel, &signals.pending, &snapshot.threads)?;
    }
    if let Some(timers) = snapshot.timers.first() {
        resources::timers::give_back(vessel, timers, stopped_for)?;
    }
    if let Some(process) = snapshot.tree.processes.first() {
        resources::process::give_back(vessel, process)?;
    }
    Ok(vessel.close_channel()?)
}

/// What only a fresh process lacks. Credentials come late, since the steps before them need the engine's.
fn cold(vessel: &mut Emptied, snapshot: &Snapshot, descriptors: &Placed) -> Result<(), VesselError> {
    let Some(process) = snapshot.tree.processes.first() else { return Ok(()) };
    resources::filesystem::restore(vessel, &process.filesystem)?;
    vessel.close_channel()?;
    resources::descriptors::settle(vessel, &snapshot.descriptors, descriptors)?;
    if let Some(signals) = snapshot.signals.first() {
        pending::settle(vessel, &signals.pending, &snapshot.threads)?;
    }
    if let Some(limits) = snapshot.limits.first() {
        resources::limits::restore(vessel, limits)?;
    }
    if let Some(credentials) = snapshot.credentials.first() {
        threads::restore(vessel, &snapshot.threads, credentials)?;
    }
    resources::descriptors::give_back_owners(vessel, &snapshot.descriptors, Path::Cold)?;
    if let Some(timers) = snapshot.timers.first() {
        resources::timers::give_back(vessel, timers, Duration::ZERO)?;
        resources::timers::restore_interval(vessel, timers)?;
    }
    Ok(resources::process::restore(vessel, process)?)
}

/// Closes what an earlier try brought into the vessel and did not come to close.
fn close_strays(vessel: &mut Emptied, saved: &Descriptors) -> Result<(), VesselError> {
    vessel.close_channel()?;
    let known: Vec<i32> = saved.tables.iter().flat_map(|table| &table.descriptors).map(|descriptor| descriptor.number).collect();
    for number in procfs::descriptor_numbers(vessel.pid())?.into_iter().filter(|number| !known.contains(number)) {
        vessel.leader_call("close", libc::SYS_close, &[number as u64])?;
    }
    Ok(())
}

fn give_back_layout(vessel: &mut Emptied, what: &Restore<'_>) -> Result<(), VesselError> {
    let Some(space) = what.snapshot.address_spaces.first() else { return Ok(()) };
    let number = what.executable.map(|file| vessel.import(file)).transpose()?;
    let set = resources::memory::give_back_layout(vessel, &space.layout, number);
    if let Some(number) = number {
        vessel.leader_call("close", libc::SYS_close, &[number as u64])?;
    }
    Ok(set?)
}

fn run_resolvers(vessel: &mut Emptied, what: &Restore<'_>) -> Result<(), VesselError> {
    let fs_base = leader_thread_pointer(what.snapshot);
    for resolver in what.resolvers {
        let address = vessel.call_function(resolver.function, &[], fs_base, RESOLVER_LIMIT)?;
        for (slot, addend) in &resolver.slots {
            vessel.memory().write(*slot, &address.wrapping_add_signed(*addend).to_le_bytes())?;
        }
    }
    Ok(())
}

fn leader_thread_pointer(snapshot: &Snapshot) -> u64 {
    snapshot.threads.first().map_or(0, |leader| leader.registers.fs_base)
}

fn step(name: &'static str, vessel: &Emptied) -> Result<(), VesselError> {
    Ok(TraceeError::at_step(name, vessel.pid())?)
}

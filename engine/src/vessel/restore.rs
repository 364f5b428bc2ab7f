//! The one way from an image to a process: an emptied process in, a process before the gate out.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{AddressSpace, Descriptors, ProcessSignals, Protection, Snapshot};

use super::error::VesselError;
use super::files::MappedFiles;
use super::pages::PageProvider;
use super::threads::{self, Statuses};
use super::{allocate, calls, fill, mapping, pending, verify};
use crate::plan::kernel_words;
use crate::plan::rewrite::{Allocations, Call, Contents, Patch, Resolver};
use crate::resources;
use crate::resources::descriptors::Placed;
use crate::resources::timers::Path;
use crate::tracee::batch::{Batch, together};
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
    /// Objects to store, and blocks that the program's allocator makes and frees once all is in place.
    pub allocations: Option<&'a Allocations>,
    /// Functions of the new program to call once everything else is in place.
    pub calls: &'a [Call],
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
    map(vessel, what, space)?;
    // Before the pages, so that several threads can fill them.
    step("threads", vessel)?;
    let fresh = threads::create(vessel, &snapshot.threads)?;
    step("fill", vessel)?;
    fill::fill(vessel, &space.mappings, &what.pages)?;
    fill::patch(vessel, what.patches)?;
    fill::store(vessel, what.contents)?;
    if let Some(allocations) = what.allocations {
        allocate::store(vessel, allocations)?;
    }
    run_resolvers(vessel, what)?;
    step("give-back", vessel)?;
    let statuses = Statuses::read(vessel.pid(), &snapshot.threads, &fresh)?;
    let signals_wait = what.allocations.is_some() && kernel_words::signals_wait_for_blocks(snapshot);
    let given = Given { what, space, signals, statuses, signals_wait };
    match &what.origin {
        Origin::Hot { .. } => given.hot(vessel)?,
        Origin::Cold { descriptors } => given.cold(vessel, descriptors)?,
    }
    step("verify", vessel)?;
    verify::mappings(vessel, &space.mappings)?;
    let states = match what.allocations {
        Some(allocations) => make_blocks(vessel, &given, allocations)?,
        None => threads::final_states(&snapshot.threads),
    };
    if !signals_wait {
        verify_timers(vessel, snapshot)?;
    }
    if !what.calls.is_empty() {
        step("call", vessel)?;
        calls::run(vessel, what.calls, leader_thread_pointer(snapshot))?;
    }
    Ok(states)
}

/// Lets the allocator make blocks, and gives their addresses to registers, epoll, timers and signals. After mappings were compared: the
/// allocator may grow the heap and map more.
fn make_blocks(vessel: &mut Emptied, given: &Given<'_>, allocations: &Allocations) -> Result<Vec<FinalState>, VesselError> {
    step("allocate", vessel)?;
    let snapshot = given.what.snapshot;
    let places = allocate::allocate(vessel, allocations, leader_thread_pointer(snapshot))?;
    let mut settled = snapshot.clone();
    if kernel_words::settle(&mut settled, &|word| places.real(word)) {
        together(vessel, |batch| Ok::<_, VesselError>(resources::descriptors::rewrite_words(batch, &settled.descriptors)?))?;
    }
    if given.signals_wait {
        let process = settled.signals.first().map_or(&[][..], |signals| &signals.pending);
        pending::settle(vessel, process, &settled.threads)?;
        together(vessel, |batch| given.timers(batch, &settled))?;
        verify_timers(vessel, &settled)?;
    }
    vessel.close_channel()?;
    Ok(threads::final_states(&settled.threads))
}

fn verify_timers(vessel: &Emptied, snapshot: &Snapshot) -> Result<(), VesselError> {
    match snapshot.timers.first().filter(|timers| !timers.posix.is_empty()) {
        Some(timers) => Ok(resources::timers::verify(vessel.pid(), timers)?),
        None => Ok(()),
    }
}

/// Makes the mappings, and sets the numbers that the kernel keeps of them.
fn map(vessel: &mut Emptied, what: &Restore<'_>, space: &AddressSpace) -> Result<(), VesselError> {
    let files = mapping::Files::of(&space.mappings, what.files)?;
    let wanted: Vec<BorrowedFd<'_>> = what.executable.into_iter().chain(files.descriptors().iter().copied()).collect();
    let numbers = vessel.import_all(&wanted)?;
    let (executable, others) = numbers.split_at(usize::from(what.executable.is_some()));
    together(vessel, |batch| {
        // Before anything is mapped: the link to the executable cannot be changed while the old one's file is (`kernel/sys.c`,
        // `replace_mm_exe_file`), and on the way back that may be this very file.
        resources::memory::give_back_layout(batch, &space.layout, executable.first().copied())?;
        mapping::map_all(batch, &space.mappings, &files, others)?;
        mapping::close_files(batch, &numbers)
    })
}

/// What is given back to a filled vessel.
struct Given<'a> {
    what: &'a Restore<'a>,
    space: &'a AddressSpace,
    signals: &'a ProcessSignals,
    statuses: Statuses,
    /// Whether timers, and signals that wait, come after the blocks whose addresses they bring along: a timer that runs with another
    /// value may send it.
    signals_wait: bool,
}

impl Given<'_> {
    /// What the exec took of the same process.
    fn hot(&self, vessel: &mut Emptied) -> Result<(), VesselError> {
        let snapshot = self.what.snapshot;
        let found = &snapshot.descriptors;
        together(vessel, |batch| {
            self.memory_and_handlers(batch)?;
            resources::descriptors::give_back_close_on_exec(batch, found)?;
            resources::descriptors::give_back_owners(batch, found, Path::Hot)?;
            resources::descriptors::rewrite_words(batch, found)?;
            match snapshot.credentials.first() {
                Some(credentials) => threads::give_back(batch, &snapshot.threads, credentials, &self.statuses),
                None => Ok(()),
            }
        })?;
        self.pending_signals(vessel)?;
        self.last(vessel, |batch| {
            if !self.signals_wait {
                self.timers(batch, snapshot)?;
            }
            match snapshot.tree.processes.first() {
                Some(process) => Ok(resources::process::give_back(batch, process)?),
                None => Ok(()),
            }
        })
    }

    /// What only a fresh process lacks. Credentials come late, since the steps before them need the engine's.
    fn cold(&self, vessel: &mut Emptied, descriptors: &Placed) -> Result<(), VesselError> {
        let snapshot = self.what.snapshot;
        let Some(process) = snapshot.tree.processes.first() else { return Ok(()) };
        together(vessel, |batch| self.memory_and_handlers(batch))?;
        resources::filesystem::restore(vessel, &process.filesystem)?;
        vessel.close_channel()?;
        resources::descriptors::settle(vessel, &snapshot.descriptors, descriptors)?;
        self.pending_signals(vessel)?;
        together(vessel, |batch| {
            if let Some(limits) = snapshot.limits.first() {
                resources::limits::restore(batch, limits)?;
            }
            if let Some(credentials) = snapshot.credentials.first() {
                threads::restore(batch, &snapshot.threads, credentials, &self.statuses)?;
            }
            resources::descriptors::give_back_owners(batch, &snapshot.descriptors, Path::Cold)?;
            Ok::<_, VesselError>(())
        })?;
        self.last(vessel, |batch| {
            if !self.signals_wait {
                self.timers(batch, snapshot)?;
            }
            if let Some(timers) = snapshot.timers.first() {
                resources::timers::restore_interval(batch, timers)?;
            }
            Ok(resources::process::restore(batch, process)?)
        })
    }

    /// Signals that wait, where they do not come later.
    fn pending_signals(&self, vessel: &mut Emptied) -> Result<(), VesselError> {
        match self.signals_wait {
            true => Ok(()),
            false => pending::settle(vessel, &self.signals.pending, &self.what.snapshot.threads),
        }
    }

    /// Timers with the values that `snapshot` has.
    fn timers(&self, batch: &mut Batch<'_>, snapshot: &Snapshot) -> Result<(), VesselError> {
        let since_capture = match &self.what.origin {
            Origin::Hot { stopped_at } => stopped_at.elapsed(),
            Origin::Cold { .. } => Duration::ZERO,
        };
        match snapshot.timers.first() {
            Some(timers) => Ok(resources::timers::give_back(batch, timers, since_capture)?),
            None => Ok(()),
        }
    }

    fn memory_and_handlers(&self, batch: &mut Batch<'_>) -> Result<(), VesselError> {
        for range in self.what.protect_after {
            mapping::protect(batch, *range, Protection { read: true, write: false, execute: false })?;
        }
        resources::memory::give_back_guards(batch, self.what.guards)?;
        resources::memory::give_back_flags(batch, &self.space.mappings)?;
        Ok(resources::signals::give_back(batch, self.signals, self.statuses.leader().ignored)?)
    }

    /// The last calls of a restore: what `collect` adds, locks on what will be mapped, and the end of the channel.
    fn last(
        &self,
        vessel: &mut Emptied,
        collect: impl FnOnce(&mut Batch<'_>) -> Result<(), VesselError>,
    ) -> Result<(), VesselError> {
        together(vessel, |batch| {
            collect(batch)?;
            if self.space.lock_future {
                resources::memory::give_back_lock_future(batch)?;
            }
            Ok::<_, VesselError>(())
        })?;
        Ok(vessel.close_channel()?)
    }
}

/// Closes what an earlier try brought into the vessel and did not come to close.
fn close_strays(vessel: &mut Emptied, saved: &Descriptors) -> Result<(), VesselError> {
    let saved = saved.tables.iter().flat_map(|table| &table.descriptors).map(|descriptor| descriptor.number);
    let known: HashSet<i32> = saved.chain(vessel.channel_number()).collect();
    for number in procfs::descriptor_numbers(vessel.pid())?.into_iter().filter(|number| !known.contains(number)) {
        vessel.leader_call("close", libc::SYS_close, &[number as u64])?;
    }
    Ok(())
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

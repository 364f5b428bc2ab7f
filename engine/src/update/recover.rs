//! Finishing or taking back a transaction whose engine died.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::JournalRecord;

use super::error::UpdateError;
use super::journal::Journal;
use super::lock::ProcessLock;
use super::operation::{Observer, Recovered, RecoveredTo};
use super::stale::end_holder;
use crate::plan::rewrite::Patch;
use crate::resources::ResourceError;
use crate::resources::credentials::can_restore_itself;
use crate::tracee::adopt::{self, Left};
use crate::tracee::calls::{self, Compared};
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::holder::Holder;
use crate::tracee::procfs;
use crate::vessel::back;
use crate::vessel::error::VesselError;
use crate::vessel::files::MappedFiles;
use crate::vessel::pages::PageProvider;
use crate::vessel::restore::{Origin, Restore, restore};
use crate::vessel::stock::Stock;

const STOP_LIMIT: Duration = Duration::from_secs(5);
/// An exec whose engine is dead comes to its end within this; a process that runs need never be at rest.
const EXEC_LIMIT: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// Recovers process `pid` from the journal of a dead engine.
pub fn recover(pid: i32, observer: &mut dyn Observer) -> Result<Recovered, UpdateError> {
    let lock = ProcessLock::acquire(pid)?;
    let Ok(start_time) = procfs::start_time(pid) else {
        return Ok(Recovered { pid, outcome: RecoveredTo::NothingToDo });
    };
    let journal = Journal::of_process(lock.directory(), start_time);
    let Some(record) = journal.read()? else {
        return Ok(Recovered { pid, outcome: clear(pid)? });
    };
    let outcome = match find(&record, is_guarded(&journal)?)? {
        Left::Nothing if is_finished(&record) => RecoveredTo::NewVersion,
        Left::Nothing => {
            clear(pid)?;
            RecoveredTo::HealedItself
        }
        Left::OpenGate => {
            adopt::tidy(pid, record.site, Instant::now() + STOP_LIMIT)?;
            RecoveredTo::NewVersion
        }
        Left::Vessel => {
            observer.step("restore the old program");
            restore_old(&record, &journal, Emptied::adopt)?;
            RecoveredTo::OldVersion
        }
        Left::Program => {
            observer.step("restore the old program");
            restore_old(&record, &journal, Emptied::adopt_program)?;
            RecoveredTo::OldVersion
        }
    };
    end_holder(&record);
    journal.remove();
    Ok(Recovered { pid, outcome })
}

/// Removes what an engine left that died before there was a journal.
fn clear(pid: i32) -> Result<RecoveredTo, UpdateError> {
    let removed = adopt::clear(pid, Instant::now() + STOP_LIMIT)?;
    Ok(if removed { RecoveredTo::HealedItself } else { RecoveredTo::NothingToDo })
}

/// What the dead engine left, once the process has come to rest: it may be on its way back, or in the middle of its exec.
fn find(record: &JournalRecord, guarded: bool) -> Result<Left, UpdateError> {
    let deadline = Instant::now() + STOP_LIMIT;
    while has_old_memory(record) && Instant::now() < deadline {
        // The signal that guards the exec came where the exec did not; stopped, the process cannot go back.
        if guarded && procfs::state(record.pid) == Some('T') {
            resume(record.pid);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    // What is looked at in the middle of an exec is gone a moment later.
    let settled_by = Instant::now() + EXEC_LIMIT;
    while guarded && !procfs::is_at_rest(record.pid) && Instant::now() < settled_by {
        std::thread::sleep(BETWEEN_LOOKS);
    }
    let left = adopt::look(record.pid, record.site)?;
    match left {
        Left::Nothing if guarded && holds(record) && !has_old_memory(record) && adopt::has_not_begun(record.pid)? => {
            Ok(Left::Program)
        }
        // The signal came in a vessel that was to be emptied by an exec of its own program once more.
        Left::Vessel if guarded && procfs::state(record.pid) == Some('T') => {
            resume(record.pid);
            Ok(left)
        }
        _ => Ok(left),
    }
}

/// Whether the process may have been emptied by an exec of its program, guarded by a stop signal.
fn is_guarded(journal: &Journal) -> Result<bool, UpdateError> {
    Ok(!journal.read_image()?.snapshot().credentials.iter().all(can_restore_itself))
}

/// Whether the holder of the journal is there.
fn holds(record: &JournalRecord) -> bool {
    procfs::start_time(record.holder).ok() == Some(record.holder_start_time) && !procfs::is_killed(record.holder)
}

/// Whether the process still has the memory that the holder keeps.
fn has_old_memory(record: &JournalRecord) -> bool {
    holds(record) && calls::shares(Compared::Memory, record.pid, record.holder).unwrap_or(false)
}

/// Whether the engine died after its last step, with the new program: only the journal is left then.
fn is_finished(record: &JournalRecord) -> bool {
    let program = |pid: i32| std::fs::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino())).ok();
    let differ = program(record.pid).zip(program(record.holder)).is_some_and(|(now, old)| now != old);
    holds(record) && !has_old_memory(record) && differ
}

fn resume(pid: i32) {
    let sent = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGCONT);
    if let Err(error) = sent {
        tracing::warn!(%error, "the process stays stopped");
    }
}

/// How a vessel is taken over.
type Adopt = fn(i32, RunRange, Instant) -> Result<Emptied, TraceeError>;

/// Fills the vessel that `adopt` takes over with the old image, from the holder's memory.
fn restore_old(record: &JournalRecord, journal: &Journal, adopt: Adopt) -> Result<(), UpdateError> {
    let image = journal.read_image()?;
    let snapshot = image.snapshot();
    let holder = Holder::adopt(record.holder)?;
    let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
    let files = MappedFiles::open_all(record.holder, mappings)?;
    let link = format!("/proc/{}/exe", record.holder);
    let program = File::open(&link).map_err(|source| ResourceError::File { operation: "open", path: link.into(), source })?;
    let parked = |back: VesselError| UpdateError::StillParked { pid: record.pid, source: Box::new(back) };
    let mut emptied = adopt(record.pid, record.site, Instant::now() + STOP_LIMIT)?;
    if is_guarded(journal)? {
        emptied.end_guard().map_err(|error| parked(error.into()))?;
    }
    let executable = back::make_ready(&mut emptied, &program, snapshot, record.site).map_err(parked)?;
    let patches: Vec<Patch> =
        record.shared_words.iter().map(|(address, word)| Patch { address: *address, word: *word }).collect();
    let what = Restore {
        snapshot,
        files: &files,
        pages: PageProvider::Holder { holder: &holder, ranges: record.own_pages.clone(), stock: &Stock::default() },
        guards: &record.guards,
        patches: &patches,
        contents: &[],
        resolvers: &[],
        allocations: None,
        calls: &[],
        protect_after: &[],
        executable,
        origin: Origin::Hot { stopped_at: Instant::now() },
    };
    let finals = restore(&mut emptied, &what).map_err(parked)?;
    let gated = emptied.gate(finals).map_err(|(_, error)| parked(error.into()))?;
    match gated.commit() {
        Ok(()) => Ok(()),
        Err((Some(_), error)) => Err(parked(error.into())),
        Err((None, error)) => {
            tracing::warn!(%error, "the process runs, but the engine could not tidy up after itself");
            Ok(())
        }
    }
}

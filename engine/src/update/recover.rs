//! Finishing or taking back a transaction whose engine died.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dsu_formats::model::latest::JournalRecord;

use super::error::UpdateError;
use super::journal::Journal;
use super::lock::ProcessLock;
use super::operation::{Observer, Recovered, RecoveredTo};
use crate::plan::rewrite::Patch;
use crate::resources::ResourceError;
use crate::tracee::adopt::{self, Left};
use crate::tracee::emptied::Emptied;
use crate::tracee::holder::Holder;
use crate::tracee::procfs;
use crate::vessel::error::VesselError;
use crate::vessel::files::MappedFiles;
use crate::vessel::pages::PageProvider;
use crate::vessel::restore::{Origin, Restore, restore};
use crate::vessel::stock::Stock;

const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Recovers process `pid` from the journal of a dead engine.
pub fn recover(pid: i32, observer: &mut dyn Observer) -> Result<Recovered, UpdateError> {
    let lock = ProcessLock::acquire(pid)?;
    let journal = Journal::in_directory(lock.directory());
    let Some(record) = journal.read()? else {
        return Ok(Recovered { pid, outcome: clear(pid)? });
    };
    if procfs::start_time(pid).ok() != Some(record.start_time) {
        // The process of the journal has ended; this one has its number by chance.
        end_holder(&record);
        journal.remove();
        return Ok(Recovered { pid, outcome: RecoveredTo::NothingToDo });
    }
    let outcome = match adopt::look(pid, record.site)? {
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
            restore_old(&record, &journal)?;
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

/// Fills the parked vessel with the old image, from the holder's memory.
fn restore_old(record: &JournalRecord, journal: &Journal) -> Result<(), UpdateError> {
    let image = journal.read_image()?;
    let snapshot = image.snapshot();
    let holder = Holder::adopt(record.holder)?;
    let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
    let files = MappedFiles::open_all(record.holder, mappings)?;
    let link = format!("/proc/{}/exe", record.holder);
    let program = File::open(&link).map_err(|source| ResourceError::File { operation: "open", path: link.into(), source })?;
    let mut emptied = Emptied::adopt(record.pid, record.site, Instant::now() + STOP_LIMIT)?;
    let parked = |back: VesselError| UpdateError::StillParked { pid: record.pid, source: Box::new(back) };
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
        protect_after: &[],
        executable: Some(program.as_fd()),
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

/// Ends the holder of a journal, if it is still the task that the journal means.
fn end_holder(record: &JournalRecord) {
    let same = procfs::start_time(record.holder).ok() == Some(record.holder_start_time);
    if let (true, Ok(holder)) = (same, Holder::adopt(record.holder)) {
        holder.end();
    }
}

//! What dsu left in a lock directory for an earlier process with the same number.
//!
//! Numbers are used again, so the names of the files carry the start time of their process (`journal::Journal`). Files of other
//! start times, or of no start time, say nothing about the process that has the number now.

use std::fs;
use std::path::{Path, PathBuf};

use dsu_formats::journal;
use dsu_formats::model::latest::JournalRecord;

use super::journal::Journal;
use crate::tracee::holder::Holder;
use crate::tracee::procfs;

/// Removes from the lock directory of `pid` what is not of the process that has this number now, and ends the holders that it
/// names. Only for who has the lock: another engine's files are its own until it dies.
///
/// Nothing here fails: what stays is not looked at by anybody.
pub(super) fn remove(directory: &Path, pid: i32) {
    let current = procfs::start_time(pid).ok();
    if current.is_none() && exists(pid) {
        // A `/proc` that hides other users' processes: its files cannot be told from stale ones.
        return;
    }
    for path in files_of_others(directory, current) {
        if let Some(record) = fs::read(&path).ok().and_then(|bytes| journal::decode(&bytes).ok()) {
            end_holder(&record);
        }
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(%error, path = %path.display(), "a file of an earlier process stays");
        }
    }
}

/// The files of journals in `directory`, but for those of a process that started at `current`.
fn files_of_others(directory: &Path, current: Option<u64>) -> Vec<PathBuf> {
    let own = current.map(|start_time| Journal::of_process(directory, start_time));
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| Journal::has_name_of_one(path) && !own.as_ref().is_some_and(|own| own.owns(path))).collect()
}

/// Whether there is a process of this number, seen or not.
fn exists(pid: i32) -> bool {
    !matches!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None), Err(nix::errno::Errno::ESRCH))
}

/// Ends the holder of a journal, if it is still the task that the journal means.
pub(super) fn end_holder(record: &JournalRecord) {
    let same = procfs::start_time(record.holder).ok() == Some(record.holder_start_time);
    if let (true, Ok(holder)) = (same, Holder::adopt(record.holder)) {
        holder.end();
    }
}

#[cfg(test)]
mod tests {
    use dsu_formats::address::RunRange;

    use super::*;

    /// A record of this process.
    fn record() -> JournalRecord {
        let pid = std::process::id() as i32;
        JournalRecord {
            pid,
            start_time: procfs::start_time(pid).unwrap(),
            holder: pid,
            holder_start_time: 0,
            site: RunRange::new(0x1000_0000, 0x1004_0000),
            own_pages: Vec::new(),
            guards: Vec::new(),
            shared_words: Vec::new(),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_the_files_of_the_process_stay() {
        let directory = tempfile::tempdir().unwrap();
        let record = record();
        for name in ["journal", "old.dsu", "journal.new", "journal-7", "journal-7.new", "old-7.dsu"] {
            fs::write(directory.path().join(name), [0xe4, 0x99, 0x01, 0xef]).unwrap();
        }
        fs::write(directory.path().join("lock"), []).unwrap();
        let journal = Journal::of_process(directory.path(), record.start_time);
        journal.write(&record).unwrap();
        remove(directory.path(), record.pid);
        assert_eq!(names(directory.path()), [format!("journal-{}", record.start_time), "lock".to_owned()]);
        assert_eq!(journal.read().unwrap(), Some(record));
    }

    #[test]
    fn nothing_stays_for_a_number_without_a_process() {
        let directory = tempfile::tempdir().unwrap();
        Journal::of_process(directory.path(), 7).write(&record()).unwrap();
        // No process has this number: it is above the largest pid_max.
        remove(directory.path(), (1 << 22) + 19);
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_stale_journal_ends_its_holder_and_no_other_task() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let holder = child.id() as i32;
        let holder_start_time = procfs::start_time(holder).unwrap();
        let journal = Journal::of_process(directory.path(), 7);
        journal.write(&JournalRecord { holder, holder_start_time: holder_start_time + 1, ..record() }).unwrap();
        remove(directory.path(), std::process::id() as i32);
        assert!(child.try_wait().unwrap().is_none(), "another task with the number of the holder");
        journal.write(&JournalRecord { holder, holder_start_time, ..record() }).unwrap();
        remove(directory.path(), std::process::id() as i32);
        // Ended, and reaped already.
        assert!(procfs::has_ended(holder));
    }
}

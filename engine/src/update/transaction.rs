//! From a planned rewrite to a process that runs it, or back.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{JournalRecord, Snapshot};

use super::capture::{self, Captured};
use super::error::UpdateError;
use super::journal::Journal;
use super::phase::Phase;
use super::shared;
use super::timeline::Timeline;
use crate::plan::rewrite::{Patch, Rewrite};
use crate::resources::credentials;
use crate::resources::descriptors::close_on_exec_numbers;
use crate::tracee::batch::Call;
use crate::tracee::borrowed::{Borrowed, Undo};
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::exec::Way;
use crate::tracee::holder::Holder;
use crate::tracee::inject::Injector;
use crate::tracee::last_pid;
use crate::tracee::procfs;
use crate::tracee::release::FinalState;
use crate::tracee::site::site_length;
use crate::vessel::error::VesselError;
use crate::vessel::files::MappedFiles;
use crate::vessel::pages::PageProvider;
use crate::vessel::restore::{Origin, Restore, restore};
use crate::vessel::stock::Stock;
use crate::vessel::{back, site, stub};

/// A stopped process, its image, and what to make of it.
pub struct Transaction<'a> {
    /// What was captured.
    pub captured: &'a Captured,
    /// The plan.
    pub rewrite: &'a Rewrite,
    /// The program to move to.
    pub new_program: &'a File,
    /// The program that runs, for the way back.
    pub old_program: &'a File,
    /// Where the journal goes.
    pub journal: &'a Journal,
    /// Huge pages that were set aside for the new memory.
    pub stock: &'a Stock,
    /// When the process was stopped.
    pub stopped_at: Instant,
    /// Start time of the process.
    pub start_time: u64,
}

/// A holder whose memory is still wanted after the commit; ended when dropped.
#[derive(Debug)]
pub struct OldMemory {
    holder: Option<Holder>,
    untidy: Option<TraceeError>,
}

impl OldMemory {
    /// The holder.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// What failed between the commit and the last step: the vessel's own mappings are still there, and the journal with them.
    pub fn take_untidy(&mut self) -> Option<TraceeError> {
        self.untidy.take()
    }
}

impl Drop for OldMemory {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.end();
        }
    }
}

impl Transaction<'_> {
    /// Runs the transaction to its end. `files` may be open from before the stop. On success the new program runs, and the old memory is there until dropped.
    pub fn run(&self, mut borrowed: Borrowed, files: MappedFiles, timeline: &mut Timeline) -> Result<OldMemory, UpdateError> {
        let prepared = self.prepare(&mut borrowed, files).map_err(UpdateError::given_up)?;
        let (holder, record) = match self.leave_old(&mut borrowed, &prepared) {
            Ok(both) => both,
            Err(error) => {
                self.journal.remove();
                return Err(error);
            }
        };
        timeline.mark("prepare vessel");
        let emptied = match borrowed.exec(prepared.program, self.captured.way, prepared.site) {
            Ok(emptied) => emptied,
            Err((Some(borrowed), error)) => {
                holder.end();
                drop(borrowed);
                self.journal.remove();
                return Err(UpdateError::given_up(error));
            }
            Err((None, source)) if procfs::has_ended(record.pid) => {
                holder.end();
                return Err(UpdateError::Lost { pid: record.pid, source: Box::new(source) });
            }
            Err((None, source)) => {
                let (source, back) = (Box::new(source.into()), Box::new(VesselError::NotTried));
                return Err(UpdateError::Parked { pid: record.pid, source, back });
            }
        };
        timeline.mark("exec");
        self.fill(emptied, holder, record, &prepared.files, timeline)
    }

    /// Opens what the vessel will need; the process is only read, but for the descriptor of what is exec'ed.
    fn prepare(&self, borrowed: &mut Borrowed, mut files: MappedFiles) -> Result<Prepared, VesselError> {
        let old = &self.captured.snapshot;
        let new = &self.rewrite.snapshot;
        files.open_missing(borrowed.memory().pid(), mappings(old))?;
        for mapping in mappings(new) {
            if files.get(mapping).is_none() {
                files.add_if_same(mapping, self.new_program)?;
            }
        }
        let length = site_length(old.threads.len());
        let taken = mappings(old).iter().chain(mappings(new)).map(|mapping| mapping.range);
        let scratch = borrowed.scratch_mapping();
        let site = site::choose(length, taken.chain([scratch]))?;
        let program = match self.captured.way {
            Way::Stub => borrowed.import(stub::make(site.start)?.as_fd())?,
            Way::PrivilegedStub => {
                let given = old.credentials.first().map_or(0, credentials::from_file);
                borrowed.import(stub::make_privileged(site.start, given)?.as_fd())?
            }
            Way::Program => borrowed.import(self.new_program.as_fd())?,
        };
        Ok(Prepared { files, site, program })
    }

    /// Takes off the process what the exec would act upon, starts the holder, writes the journal.
    fn leave_old(&self, borrowed: &mut Borrowed, prepared: &Prepared) -> Result<(Holder, JournalRecord), UpdateError> {
        let leader = borrowed.threads()[0];
        pass(Phase::Planned, leader)?;
        borrowed.call_all_undoable(&self.farewell(borrowed.threads())).map_err(UpdateError::given_up)?;
        last_pid::move_past(borrowed.threads().iter().copied()).map_err(UpdateError::given_up)?;
        let holder = borrowed.start_holder().map_err(UpdateError::given_up)?;
        let record = JournalRecord {
            pid: leader,
            start_time: self.start_time,
            holder: holder.pid(),
            holder_start_time: procfs::start_time(holder.pid())?,
            site: prepared.site,
            own_pages: self.captured.own_pages.runs.clone(),
            guards: self.captured.own_pages.guards.clone(),
            shared_words: self.rewrite.shared.iter().map(|word| (word.address, word.old)).collect(),
        };
        let written = self
            .journal
            .write_image(&self.captured.snapshot, &record.own_pages)
            .and_then(|()| self.journal.write(&record))
            .and_then(|()| pass(Phase::Executed, leader));
        match written {
            Ok(()) => Ok((holder, record)),
            Err(error) => {
                holder.end();
                Err(error)
            }
        }
    }

    /// What an exec would act upon: descriptors that it closes, and words of the threads' memory that it writes to or follows.
    fn farewell(&self, tids: &[i32]) -> Vec<(Call, Undo)> {
        let mut calls = Vec::new();
        // The threads share the descriptor table: any of them can change it.
        for (number, tid) in close_on_exec_numbers(&self.captured.snapshot.descriptors).into_iter().zip(tids.iter().cycle()) {
            let flags = |flags: i32| [number as u64, libc::F_SETFD as u64, flags as u64];
            let undo = Undo { number: libc::SYS_fcntl, arguments: flags(libc::FD_CLOEXEC).to_vec() };
            calls.push((Call::new(*tid, "fcntl", libc::SYS_fcntl, flags(0)), undo));
        }
        for thread in &self.captured.snapshot.threads {
            let (tid, list, word) = (thread.tid, thread.robust_list, thread.clear_tid);
            let undo = Undo { number: libc::SYS_set_robust_list, arguments: vec![list.head.0, 24] };
            calls.push((Call::new(tid, "set_robust_list", libc::SYS_set_robust_list, [0, 24]), undo));
            let undo = Undo { number: libc::SYS_set_tid_address, arguments: vec![word.0] };
            calls.push((Call::new(tid, "set_tid_address", libc::SYS_set_tid_address, [0]), undo));
        }
        calls
    }

    /// Fills the vessel with the new image and commits, or goes back.
    fn fill(
        &self,
        mut emptied: Emptied,
        holder: Holder,
        record: JournalRecord,
        files: &MappedFiles,
        timeline: &mut Timeline,
    ) -> Result<OldMemory, UpdateError> {
        let moved_in = emptied.move_in(record.site).map_err(VesselError::from);
        let finals = match moved_in.and_then(|()| self.restore_new(&mut emptied, &holder, files)) {
            Ok(finals) => finals,
            Err(failure) => return self.go_back(emptied, failure, holder, &record, files),
        };
        timeline.mark("restore");
        match self.commit(emptied, finals) {
            Ok(untidy) => {
                timeline.mark("commit");
                timeline.resume();
                if untidy.is_none() {
                    self.journal.remove();
                }
                Ok(OldMemory { holder: Some(holder), untidy })
            }
            Err((emptied, failure)) => self.go_back(*emptied, failure, holder, &record, files),
        }
    }

    /// Everything up to the opening of the gate can still fail and gives the vessel back. What fails after it is returned.
    fn commit(&self, emptied: Emptied, finals: Vec<FinalState>) -> Result<Option<TraceeError>, (Box<Emptied>, VesselError)> {
        let gated = emptied.gate(finals).map_err(|(emptied, error)| (emptied, error.into()))?;
        let pid = gated.pid();
        if let Err(error) = pass(Phase::Filled, pid) {
            tracing::warn!(%error, "the commit was given up");
            let failure = TraceeError::Call { call: "the commit", tid: pid, source: nix::errno::Errno::EIO };
            return Err((Box::new(gated.withdraw()), failure.into()));
        }
        match gated.commit() {
            Ok(()) => Ok(None),
            Err((Some(emptied), error)) => Err((emptied, error.into())),
            Err((None, error)) => Ok(Some(error)),
        }
    }

    /// The old image goes back into the same vessel, by the code that restored the new one.
    fn go_back(
        &self,
        mut emptied: Emptied,
        failure: VesselError,
        holder: Holder,
        record: &JournalRecord,
        files: &MappedFiles,
    ) -> Result<OldMemory, UpdateError> {
        match self.restore_old(&mut emptied, &holder, record, files) {
            Ok(finals) => match self.commit(emptied, finals) {
                Ok(untidy) => {
                    holder.end();
                    match untidy {
                        Some(error) => tracing::warn!(%error, "the engine could not tidy up after itself: `dsu recover` does"),
                        None => self.journal.remove(),
                    }
                    Err(UpdateError::RolledBack(Box::new(failure)))
                }
                Err((_, back)) => Err(UpdateError::Parked { pid: record.pid, source: Box::new(failure), back: Box::new(back) }),
            },
            Err(back) => Err(UpdateError::Parked { pid: record.pid, source: Box::new(failure), back: Box::new(back) }),
        }
    }

    fn restore_old(
        &self,
        emptied: &mut Emptied,
        holder: &Holder,
        record: &JournalRecord,
        files: &MappedFiles,
    ) -> Result<Vec<FinalState>, VesselError> {
        emptied.move_in(record.site)?;
        let executable = back::make_ready(emptied, self.old_program, &self.captured.snapshot, record.site)?;
        let own = &self.captured.own_pages;
        let patches: Vec<Patch> = shared::old_words(&self.rewrite.shared).collect();
        restore(
            emptied,
            &Restore {
                snapshot: &self.captured.snapshot,
                files,
                pages: PageProvider::Holder { holder, ranges: own.runs.clone(), stock: self.stock },
                guards: &own.guards,
                patches: &patches,
                contents: &[],
                resolvers: &[],
                allocations: None,
                calls: &[],
                protect_after: &[],
                executable,
                origin: Origin::Hot { stopped_at: self.stopped_at },
            },
        )
    }

    fn restore_new(&self, emptied: &mut Emptied, holder: &Holder, files: &MappedFiles) -> Result<Vec<FinalState>, VesselError> {
        let rewrite = self.rewrite;
        let patches: Vec<Patch> = rewrite.patches.iter().copied().chain(shared::new_words(&rewrite.shared)).collect();
        restore(
            emptied,
            &Restore {
                snapshot: &rewrite.snapshot,
                files,
                pages: PageProvider::Holder {
                    holder,
                    ranges: capture::carried(&self.captured.own_pages.runs, &rewrite.dropped),
                    stock: self.stock,
                },
                guards: &capture::carried(&self.captured.own_pages.guards, &rewrite.dropped),
                patches: &patches,
                contents: &rewrite.contents,
                resolvers: &rewrite.resolvers,
                allocations: (!rewrite.allocations.is_empty()).then_some(&rewrite.allocations),
                calls: &rewrite.calls,
                protect_after: &rewrite.protect_after,
                executable: (self.captured.way != Way::Program).then(|| self.new_program.as_fd()),
                origin: Origin::Hot { stopped_at: self.stopped_at },
            },
        )
    }
}

struct Prepared {
    files: MappedFiles,
    site: RunRange,
    /// Number in the process of what is exec'ed.
    program: i32,
}

fn mappings(snapshot: &Snapshot) -> &[dsu_formats::model::latest::Mapping] {
    snapshot.address_spaces.first().map_or(&[], |space| &space.mappings)
}

/// Enters a phase before the exec.
pub(super) fn pass(phase: Phase, pid: i32) -> Result<(), UpdateError> {
    TraceeError::at_step(phase.name(), pid).map_err(UpdateError::given_up)
}

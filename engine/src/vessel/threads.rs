//! Threads of an image in a filled vessel: made with their IDs, given what the exec took, and their last state computed.

use std::collections::{HashMap, HashSet};

use dsu_formats::model::latest::{Credentials, Thread};

use super::error::VesselError;
use crate::resources::{self, Status};
use crate::tracee::batch::Batch;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::release::FinalState;
use crate::tracee::syscall;

/// Makes the threads that are not there yet, and returns them; all park. Others, left from a try that failed, end.
pub(super) fn create(vessel: &mut Emptied, threads: &[Thread]) -> Result<Vec<i32>, VesselError> {
    let tids: Vec<i32> = threads.iter().map(|thread| thread.tid).collect();
    vessel.keep_only(&tids)?;
    Ok(vessel.create_threads(&tids)?)
}

/// What `/proc` says of each thread. New threads, `fresh`, have what the leader has.
pub(super) struct Statuses {
    leader: Status,
    others: HashMap<i32, Status>,
}

impl Statuses {
    /// Reads the leader's status, and that of each other thread that an earlier restore made.
    pub(super) fn read(pid: i32, threads: &[Thread], fresh: &[i32]) -> Result<Self, VesselError> {
        let fresh: HashSet<i32> = fresh.iter().copied().collect();
        let older = threads.iter().map(|thread| thread.tid).filter(|tid| *tid != pid && !fresh.contains(tid));
        let others = older.map(|tid| Ok((tid, Status::read(pid, tid)?))).collect::<Result<_, TraceeError>>()?;
        Ok(Self { leader: Status::read(pid, pid)?, others })
    }

    /// The leader's.
    pub(super) fn leader(&self) -> &Status {
        &self.leader
    }

    fn of(&self, tid: i32) -> &Status {
        self.others.get(&tid).unwrap_or(&self.leader)
    }
}

/// Gives every thread its own attributes.
pub(super) fn give_back(
    batch: &mut Batch<'_>,
    threads: &[Thread],
    credentials: &Credentials,
    statuses: &Statuses,
) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::give_back(batch, thread.tid, credentials, statuses.of(thread.tid))?;
        resources::threads::give_back(batch, thread.tid, thread)?;
    }
    Ok(())
}

/// As [`give_back`], for a fresh process: it has none of the image's credentials either.
pub(super) fn restore(
    batch: &mut Batch<'_>,
    threads: &[Thread],
    credentials: &Credentials,
    statuses: &Statuses,
) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::restore(batch, thread.tid, credentials, statuses.of(thread.tid))?;
        resources::threads::give_back(batch, thread.tid, thread)?;
    }
    Ok(())
}

/// The states that the threads go on with, the leader's first.
pub(super) fn final_states(threads: &[Thread]) -> Vec<FinalState> {
    threads
        .iter()
        .map(|thread| FinalState {
            tid: thread.tid,
            registers: syscall::kernel_restarting(&thread.registers, thread.in_syscall.as_ref()),
            alone: syscall::self_restarting(&thread.registers, thread.in_syscall.as_ref()),
            xstate: thread.xstate.clone(),
            signal_mask: thread.signal_mask,
        })
        .collect()
}

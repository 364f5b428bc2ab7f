//! Threads of an image in a filled vessel: made with their IDs, given what the exec took, and their last state computed.

use dsu_formats::model::latest::{Credentials, Thread};

use super::error::VesselError;
use crate::resources;
use crate::tracee::emptied::Emptied;
use crate::tracee::release::FinalState;
use crate::tracee::syscall;

/// Makes the threads that are not there yet; all park. Others, left from a try that failed, end.
pub(super) fn create(vessel: &mut Emptied, threads: &[Thread]) -> Result<(), VesselError> {
    let tids: Vec<i32> = threads.iter().map(|thread| thread.tid).collect();
    vessel.keep_only(&tids)?;
    for thread in threads {
        vessel.create_thread(thread.tid)?;
    }
    Ok(())
}

/// Gives every thread its own attributes.
pub(super) fn give_back(vessel: &mut Emptied, threads: &[Thread], credentials: &Credentials) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::give_back(vessel, thread.tid, credentials)?;
        resources::threads::give_back(vessel, thread.tid, thread)?;
    }
    Ok(())
}

/// As [`give_back`], for a fresh process: it has none of the image's credentials either.
pub(super) fn restore(vessel: &mut Emptied, threads: &[Thread], credentials: &Credentials) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::restore(vessel, thread.tid, credentials)?;
        resources::threads::give_back(vessel, thread.tid, thread)?;
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

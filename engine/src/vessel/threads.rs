//! Threads of an image in a filled vessel: made with their IDs, given what the exec took, and their last state computed.

use dsu_formats::model::latest::{Credentials, Pending, Thread};

use super::error::VesselError;
use crate::resources;
use crate::tracee::emptied::Emptied;
use crate::tracee::inject::Injector;
use crate::tracee::release::FinalState;
use crate::tracee::syscall;

/// Makes the threads that are not there yet; all park.
pub(super) fn create(vessel: &mut Emptied, threads: &[Thread]) -> Result<(), VesselError> {
    for thread in threads {
        vessel.create_thread(thread.tid)?;
    }
    Ok(())
}

/// Gives every thread its own attributes and the signals that wait for it alone.
pub(super) fn give_back(vessel: &mut Emptied, threads: &[Thread], credentials: &Credentials) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::give_back(vessel, thread.tid, credentials)?;
        resources::threads::give_back(vessel, thread.tid, thread)?;
        queue_missing(vessel, thread)?;
    }
    Ok(())
}

/// As [`give_back`], for a fresh process: it has none of the image's credentials either.
pub(super) fn restore(vessel: &mut Emptied, threads: &[Thread], credentials: &Credentials) -> Result<(), VesselError> {
    for thread in threads {
        resources::credentials::restore(vessel, thread.tid, credentials)?;
        resources::threads::give_back(vessel, thread.tid, thread)?;
        queue_missing(vessel, thread)?;
    }
    Ok(())
}

/// Queues signals for the process as a whole.
pub(super) fn queue_for_process(vessel: &mut Emptied, pending: &[Pending]) -> Result<(), VesselError> {
    let address = vessel.scratch().start;
    for signal in pending {
        vessel.memory().write(address, &signal.siginfo)?;
        let arguments = [vessel.pid() as u64, signal.signal() as u64, address.0];
        vessel.leader_call("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, &arguments)?;
    }
    Ok(())
}

/// Queues what does not wait for the thread already: a restore that was taken back may have queued some.
fn queue_missing(vessel: &mut Emptied, thread: &Thread) -> Result<(), VesselError> {
    if thread.pending.is_empty() {
        return Ok(());
    }
    let present = vessel.pending(thread.tid)?.len();
    for pending in thread.pending.iter().skip(present) {
        queue(vessel, thread.tid, &pending.siginfo, pending.signal())?;
    }
    Ok(())
}

/// Queues a signal for a thread; only the thread itself may send what looks like the kernel's (`kernel/signal.c`,
/// `do_rt_tgsigqueueinfo`), so it does. All signals are blocked: nothing is delivered yet.
fn queue(vessel: &mut Emptied, tid: i32, siginfo: &[u8], signal: i32) -> Result<(), VesselError> {
    let address = vessel.scratch().start;
    vessel.memory().write(address, siginfo)?;
    let arguments = [vessel.pid() as u64, tid as u64, signal as u64, address.0];
    vessel.call(tid, "rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo, &arguments)?;
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

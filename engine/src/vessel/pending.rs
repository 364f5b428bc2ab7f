//! Signals that wait, in a vessel that may have them already: as they were, rewritten, or as a restore that was taken back left them.

use dsu_formats::model::latest::{Pending, Thread};

use super::error::VesselError;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

/// Makes the signals of the process, and those of each thread, what the image says. Those that arrived later stay behind them.
///
/// All signals are blocked in every thread: nothing is delivered meanwhile.
pub(super) fn settle(vessel: &mut Emptied, process: &[Pending], threads: &[Thread]) -> Result<(), VesselError> {
    let leader = vessel.pid();
    let found = vessel.pending(leader, true)?;
    for number in different(process, &found) {
        // A thread takes its own signals first, so these go too, and are put back below.
        take(vessel, leader, number, of(&vessel.pending(leader, false)?, number).len() + of(&found, number).len())?;
        for pending in wanted(process, &found, number) {
            queue_for_process(vessel, &pending)?;
        }
    }
    for thread in threads {
        let found = vessel.pending(thread.tid, false)?;
        for number in different(&thread.pending, &found) {
            take(vessel, thread.tid, number, of(&found, number).len())?;
            for pending in wanted(&thread.pending, &found, number) {
                queue_for_thread(vessel, thread.tid, &pending)?;
            }
        }
    }
    Ok(())
}

fn of(pending: &[Pending], number: i32) -> Vec<Pending> {
    pending.iter().filter(|pending| pending.signal() == number).cloned().collect()
}

/// Signal numbers whose queue does not begin with what it should.
fn different(wanted: &[Pending], found: &[Pending]) -> Vec<i32> {
    let mut numbers: Vec<i32> = wanted.iter().map(Pending::signal).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.retain(|number| !of(found, *number).starts_with(&of(wanted, *number)));
    numbers
}

/// The whole queue of a signal: what the image has of it, then what arrived since.
fn wanted(image: &[Pending], found: &[Pending], number: i32) -> Vec<Pending> {
    let mut queue = of(image, number);
    let later: Vec<Pending> = of(found, number).into_iter().skip(queue.len()).collect();
    queue.extend(later);
    queue
}

/// Takes `count` signals off the queues that thread `tid` takes from, its own before the process's (`kernel/signal.c`,
/// `dequeue_signal`).
fn take(vessel: &mut Emptied, tid: i32, number: i32, count: usize) -> Result<(), VesselError> {
    let set = 1u64 << (number - 1);
    let no_time = [0u64; 2];
    let at = vessel.scratch().start;
    let block: Vec<u8> = [set, no_time[0], no_time[1]].into_iter().flat_map(u64::to_le_bytes).collect();
    for _ in 0..count {
        vessel.memory().write(at, &block)?;
        match vessel.call(tid, "rt_sigtimedwait", libc::SYS_rt_sigtimedwait, &[at.0, 0, at.0 + 8, 8]) {
            Ok(_) => {}
            Err(TraceeError::Call { source: nix::errno::Errno::EAGAIN, .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn queue_for_process(vessel: &mut Emptied, pending: &Pending) -> Result<(), VesselError> {
    let at = vessel.scratch().start;
    vessel.memory().write(at, &pending.siginfo)?;
    let arguments = [vessel.pid() as u64, pending.signal() as u64, at.0];
    vessel.leader_call("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, &arguments)?;
    Ok(())
}

/// Only the thread itself may send what looks like the kernel's (`kernel/signal.c`, `do_rt_tgsigqueueinfo`), so it does.
fn queue_for_thread(vessel: &mut Emptied, tid: i32, pending: &Pending) -> Result<(), VesselError> {
    let at = vessel.scratch().start;
    vessel.memory().write(at, &pending.siginfo)?;
    let arguments = [vessel.pid() as u64, tid as u64, pending.signal() as u64, at.0];
    vessel.call(tid, "rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo, &arguments)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(number: i32, value: u8) -> Pending {
        let mut siginfo = vec![0; 128];
        siginfo[..4].copy_from_slice(&number.to_le_bytes());
        siginfo[24] = value;
        Pending { siginfo }
    }

    #[test]
    fn a_queue_that_begins_as_it_should_is_left_alone() {
        let image = [signal(35, 1), signal(36, 1), signal(35, 2)];
        let later = [signal(35, 1), signal(35, 2), signal(35, 3), signal(36, 1)];
        assert!(different(&image, &later).is_empty());
    }

    #[test]
    fn a_rewritten_signal_takes_the_place_of_the_old_one_before_later_arrivals() {
        let image = [signal(35, 9), signal(36, 1)];
        let found = [signal(35, 1), signal(35, 2), signal(36, 1)];
        assert_eq!(different(&image, &found), [35]);
        assert_eq!(wanted(&image, &found, 35), [signal(35, 9), signal(35, 2)]);
    }
}

//! Checks of the threads: whose they are, and that what the kernel is told about them can be told.

use std::collections::BTreeSet;

use super::processes::check_pending;
use super::{Coverage, Findings, USER_END};
use crate::address::RunAddress;
use crate::image::SectionKind;
use crate::model::latest::{Process, Snapshot, Thread};

/// Legacy area and header of an XSAVE area (Intel SDM volume 1, 13.4).
const XSAVE_MIN: usize = 512 + 64;

/// Where XSTATE_BV lies in an XSAVE area.
const XSTATE_BV_AT: usize = 512;

/// `SS_DISABLE` of `sigaltstack(2)`.
const SS_DISABLE: i32 = 2;

/// `sizeof(struct robust_list_head)`: the only length that `set_robust_list(2)` takes.
const ROBUST_LIST_LEN: u64 = 24;

/// Least length and alignment of `struct rseq` (`rseq(2)`).
const RSEQ_MIN: u32 = 32;

/// Longest thread name (`TASK_COMM_LEN` without its zero).
const NAME_MAX: usize = 15;

pub(super) fn check(snapshot: &Snapshot, coverage: &Coverage, findings: &mut Findings) {
    findings.enter(SectionKind::Threads);
    let processes = &snapshot.tree.processes;
    let (mut started, mut tids) = (BTreeSet::new(), BTreeSet::new());
    for thread in &snapshot.threads {
        let item = format_args!("thread {}", thread.tid);
        findings.check(thread.tid > 0, item, format_args!("that is no thread ID"));
        findings.check(tids.insert(thread.tid), item, format_args!("another thread has the same ID"));
        let Some(process) = processes.get(thread.process as usize) else {
            let problem = format_args!("process {} of {} does not exist", thread.process, processes.len());
            findings.check(false, item, problem);
            continue;
        };
        if started.insert(thread.process) {
            let problem = format_args!("it comes before the leader {} of its process", process.pid);
            findings.check(thread.tid == process.pid, item, problem);
        }
        check_thread(thread, findings);
        check_registers(thread, snapshot, findings);
        check_addresses(thread, process, coverage, findings);
    }
    for (index, process) in processes.iter().enumerate() {
        let has = u32::try_from(index).is_ok_and(|index| started.contains(&index));
        findings.check(has, format_args!("process {}", process.pid), format_args!("it has no thread"));
    }
}

fn check_thread(thread: &Thread, findings: &mut Findings) {
    let item = format_args!("thread {}", thread.tid);
    let name = thread.name.len();
    findings.check(name <= NAME_MAX, item, format_args!("a name of {name} bytes is longer than {NAME_MAX}"));
    for (at, pending) in thread.pending.iter().enumerate() {
        check_pending(pending, format_args!("pending signal {at} of thread {}", thread.tid), findings);
    }
    let runs = thread.affinity.iter().any(|byte| *byte != 0);
    findings.check(runs, item, format_args!("its affinity allows no CPU"));
    let nice = thread.scheduling.nice;
    findings.check((-20..=19).contains(&nice), item, format_args!("nice {nice} is not within -20 to 19"));
    let death = thread.parent_death_signal;
    findings.check((0..=64).contains(&death), item, format_args!("there is no signal {death} for the death of the parent"));
    let (mode, filters) = (thread.seccomp_mode, thread.seccomp_filters);
    findings.check(mode <= 2, item, format_args!("seccomp mode {mode} is not 0 to 2"));
    let agree = (mode == 2) == (filters > 0);
    findings.check(agree, item, format_args!("{filters} seccomp filters in mode {mode}"));
}

/// The extended state is whole and holds no component that the host did not have on.
fn check_registers(thread: &Thread, snapshot: &Snapshot, findings: &mut Findings) {
    let item = format_args!("thread {}", thread.tid);
    let len = thread.xstate.len();
    let components = thread.xstate.get(XSTATE_BV_AT..).and_then(|bytes| bytes.first_chunk::<8>());
    match components.filter(|_| len >= XSAVE_MIN) {
        None => findings.check(false, item, format_args!("an extended state of {len} bytes is shorter than {XSAVE_MIN}")),
        Some(bytes) => {
            let (used, enabled) = (u64::from_le_bytes(*bytes), snapshot.manifest.host.xfeatures);
            let problem = format_args!("extended state has components {used:#x}, of which the host enabled {enabled:#x}");
            findings.check(used & !enabled == 0, item, problem);
        }
    }
}

fn check_addresses(thread: &Thread, process: &Process, coverage: &Coverage, findings: &mut Findings) {
    let item = format_args!("thread {}", thread.tid);
    let space = process.address_space;
    let rip = RunAddress(thread.registers.rip);
    findings.check(coverage.covers_bytes(space, rip, 1), item, format_args!("it stopped at {rip}, which is not mapped"));
    let stack = thread.alt_stack;
    if stack.flags & SS_DISABLE == 0 {
        let right = stack.base.checked_add(stack.size).is_some_and(|end| end <= USER_END);
        let problem = format_args!("its alternate stack of {} bytes at {} leaves the address space", stack.size, stack.base);
        findings.check(right, item, problem);
    }
    let robust = thread.robust_list;
    let right = robust.head.0 == 0 || (robust.length == ROBUST_LIST_LEN && robust.head < USER_END);
    let problem = format_args!("its robust list of {} bytes at {} cannot be set", robust.length, robust.head);
    findings.check(right, item, problem);
    let clear = thread.clear_tid;
    findings.check(clear < USER_END, item, format_args!("its tid word {clear} is no address of a program"));
    if let Some(rseq) = thread.rseq {
        let aligned = rseq.length >= RSEQ_MIN && rseq.address.0.is_multiple_of(u64::from(RSEQ_MIN));
        let right = aligned && coverage.covers_bytes(space, rseq.address, u64::from(rseq.length));
        let problem = format_args!("its rseq area of {} bytes at {} is not mapped or aligned", rseq.length, rseq.address);
        findings.check(right, item, problem);
    }
}

//! Checks of what belongs to processes: tree, manifest, signals, timers, credentials, limits.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, SIGNALS, USER_END};
use crate::image::SectionKind;
use crate::model::latest::{Handler, Pending, PosixTimer, Process, Snapshot};

/// `SIGEV_THREAD_ID` of `signal.h`.
const SIGEV_THREAD_ID: i32 = 4;

/// Resources of `setrlimit(2)`.
const RESOURCES: usize = 16;

/// Length of `siginfo_t`.
const SIGINFO_LEN: usize = 128;

pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    check_manifest(snapshot, findings);
    check_tree(snapshot, findings);
    check_lists(snapshot, findings);
    check_signals(snapshot, findings);
    check_timers(snapshot, findings);
    check_limits(snapshot, findings);
}

fn check_manifest(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Manifest);
    let manifest = &snapshot.manifest;
    findings.check(!manifest.program.path.is_empty(), format_args!("program"), format_args!("its path is empty"));
    let empty = manifest.program.build_id.as_ref().is_some_and(Vec::is_empty);
    findings.check(!empty, format_args!("program"), format_args!("its build-id is empty"));
}

fn check_tree(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Tree);
    let processes = &snapshot.tree.processes;
    findings.check(!processes.is_empty(), format_args!("processes"), format_args!("there is none"));
    let mut places = BTreeMap::new();
    for (index, process) in processes.iter().enumerate() {
        let pid = process.pid;
        let first = places.insert(pid, index).is_none();
        findings.check(first, format_args!("process {index}"), format_args!("another process has PID {pid} too"));
    }
    for (index, process) in processes.iter().enumerate() {
        check_process(index, process, snapshot, findings);
        let parent = places.get(&process.ppid);
        let (ppid, right) = (process.ppid, parent.is_none_or(|parent| *parent < index));
        findings.check(right, format_args!("process {index}"), format_args!("its parent {ppid} does not come before it"));
        for child in &process.children {
            let stays = *child > 0 && !places.contains_key(child);
            let problem = format_args!("child {child} is said to stay behind, and is in the tree or no PID");
            findings.check(stays, format_args!("process {index}"), problem);
        }
    }
    let spaces = processes.iter().map(|process| process.address_space).collect();
    check_used("address space", snapshot.address_spaces.len(), spaces, findings);
    let tables = processes.iter().map(|process| process.descriptor_table).collect();
    check_used("descriptor table", snapshot.descriptors.tables.len(), tables, findings);
}

fn check_process(index: usize, process: &Process, snapshot: &Snapshot, findings: &mut Findings) {
    let item = format_args!("process {index}");
    findings.check(process.pid > 0, item, format_args!("{} is no PID", process.pid));
    let (space, spaces) = (process.address_space, snapshot.address_spaces.len());
    findings.check((space as usize) < spaces, item, format_args!("address space {space} of {spaces} does not exist"));
    let (table, tables) = (process.descriptor_table, snapshot.descriptors.tables.len());
    findings.check((table as usize) < tables, item, format_args!("descriptor table {table} of {tables} does not exist"));
    let umask = process.filesystem.umask;
    findings.check(umask <= 0o777, item, format_args!("umask {umask:#o} has bits other than permissions"));
    findings.check(process.dumpable <= 2, item, format_args!("dumpable is {}, not 0 to 2", process.dumpable));
    let score = process.oom_score_adj;
    findings.check((-1000..=1000).contains(&score), item, format_args!("oom_score_adj {score} is not within ±1000"));
}

/// Every numbered entity belongs to some process.
fn check_used(what: &str, count: usize, used: BTreeSet<u32>, findings: &mut Findings) {
    for index in (0..count).filter(|index| u32::try_from(*index).is_ok_and(|index| !used.contains(&index))) {
        findings.check(false, format_args!("{what} {index}"), format_args!("no process uses it"));
    }
}

fn check_lists(snapshot: &Snapshot, findings: &mut Findings) {
    let (processes, spaces) = (snapshot.tree.processes.len(), snapshot.address_spaces.len());
    let lists = [
        (SectionKind::Signals, snapshot.signals.len(), processes, "processes"),
        (SectionKind::Timers, snapshot.timers.len(), processes, "processes"),
        (SectionKind::Credentials, snapshot.credentials.len(), processes, "processes"),
        (SectionKind::Limits, snapshot.limits.len(), processes, "processes"),
        (SectionKind::Generations, snapshot.generations.len(), spaces, "address spaces"),
    ];
    for (section, found, expected, what) in lists {
        findings.enter(section);
        findings.check(found == expected, format_args!("entries"), format_args!("{found} for {expected} {what}"));
    }
}

fn check_signals(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Signals);
    for (index, signals) in snapshot.signals.iter().enumerate() {
        let mut previous = 0;
        for handler in &signals.handlers {
            check_handler(index, handler, previous, findings);
            previous = handler.signal;
        }
        for (at, pending) in signals.pending.iter().enumerate() {
            check_pending(pending, format_args!("pending signal {at} of process {index}"), findings);
        }
    }
}

fn check_handler(index: usize, handler: &Handler, previous: u8, findings: &mut Findings) {
    let signal = handler.signal;
    let item = format_args!("handler of signal {signal} of process {index}");
    findings.check(signal > previous, item, format_args!("it does not come after signal {previous}"));
    findings.check(signal <= SIGNALS && ![9, 19].contains(&signal), item, format_args!("that signal cannot have one"));
    let address = handler.handler;
    findings.check(address < USER_END, item, format_args!("{address} is no address of a program"));
}

/// A queued signal is a whole `siginfo_t` with a signal that exists.
pub(super) fn check_pending(pending: &Pending, item: std::fmt::Arguments<'_>, findings: &mut Findings) {
    let (len, signal) = (pending.siginfo.len(), pending.signal());
    findings.check(len == SIGINFO_LEN, item, format_args!("{len} bytes instead of {SIGINFO_LEN}"));
    findings.check((1..=i32::from(SIGNALS)).contains(&signal), item, format_args!("there is no signal {signal}"));
}

fn check_timers(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Timers);
    let threads: BTreeSet<(u32, i32)> = snapshot.threads.iter().map(|thread| (thread.process, thread.tid)).collect();
    for (index, timers) in snapshot.timers.iter().enumerate() {
        let mut previous = -1;
        for timer in &timers.posix {
            let item = format_args!("timer {} of process {index}", timer.id);
            findings.check(timer.id > previous, item, format_args!("it does not come after timer {previous}"));
            previous = timer.id;
            let known = u32::try_from(index).is_ok_and(|index| threads.contains(&(index, timer.thread)));
            check_timer(timer, known, item, findings);
        }
    }
}

fn check_timer(timer: &PosixTimer, thread_known: bool, item: std::fmt::Arguments<'_>, findings: &mut Findings) {
    // A timer outlives its thread; the kernel then reports thread 0.
    let thread = timer.thread;
    let right = timer.notify != SIGEV_THREAD_ID || thread == 0 || thread_known;
    findings.check(right, item, format_args!("thread {thread} is none of the process's"));
    let signal = timer.signal;
    findings.check((0..=i32::from(SIGNALS)).contains(&signal), item, format_args!("there is no signal {signal}"));
}

fn check_limits(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Limits);
    for (index, limits) in snapshot.limits.iter().enumerate() {
        let count = limits.limits.len();
        let item = format_args!("process {index}");
        findings.check(count == RESOURCES, item, format_args!("{count} limits instead of {RESOURCES}"));
        for (resource, limit) in limits.limits.iter().enumerate() {
            let problem = format_args!("limit {resource}: soft {} is above hard {}", limit.soft, limit.hard);
            findings.check(limit.soft <= limit.hard, item, problem);
        }
    }
}

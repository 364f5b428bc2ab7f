//! Attributes of one thread beside its registers, masks and pending signals.
//!
//! An exec takes all of them from every thread but the leader, which keeps its scheduling; a cloned thread inherits the leader's.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{AltStack, RobustList, Scheduling, Thread};

use super::error::{Obstacle, ResourceError};
use super::questions::{Answers, Questions, Ticket};
use super::scratch::{half, string, word};
use super::{proc, status::Status};
use crate::tracee::batch::Batch;
use crate::tracee::calls::{self, SchedAttributes};
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

const PR_SET_PDEATHSIG: u64 = 1;
const PR_GET_PDEATHSIG: u64 = 2;
const PR_SET_NAME: u64 = 15;
const PR_SET_TIMERSLACK: u64 = 29;
const PR_GET_TIMERSLACK: u64 = 30;
const PR_GET_TID_ADDRESS: u64 = 40;
/// Bits of `ss_flags`: the thread runs on it; there is none (signal.h).
const SS_ONSTACK: i32 = 1;
const SS_DISABLE: i32 = 2;
const SCHED_DEADLINE: u32 = 6;
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;

/// What this module captures of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadAttributes {
    name: Vec<u8>,
    alt_stack: AltStack,
    robust_list: RobustList,
    clear_tid: RunAddress,
    affinity: Vec<u8>,
    scheduling: Scheduling,
    io_priority: i32,
    timer_slack_ns: u64,
    parent_death_signal: i32,
    seccomp_mode: u8,
    seccomp_filters: u32,
}

/// What a thread is asked; only it can tell.
pub(crate) struct Asked {
    alt_stack: Ticket,
    clear_tid: Ticket,
    parent_death_signal: Ticket,
    timer_slack: TimerSlack,
}

enum TimerSlack {
    Known(u64),
    Asked(Ticket),
}

impl ThreadAttributes {
    /// Captures thread `tid`, whose `status` the caller has read. Three injected calls.
    pub fn capture(injector: &mut dyn Injector, tid: i32, status: &Status) -> Result<Self, ResourceError> {
        let mut questions = Questions::new(injector);
        let asked = Self::ask(&mut questions, tid)?;
        let answers = questions.put(injector)?;
        Self::from_answers(&answers, &asked, injector.memory().pid(), tid, status)
    }

    /// Adds the questions to thread `tid`.
    pub(crate) fn ask(questions: &mut Questions, tid: i32) -> Result<Asked, ResourceError> {
        let mut prctl = |name, operation| questions.ask(tid, name, libc::SYS_prctl, |place| [operation, place, 0, 0, 0]);
        let clear_tid = prctl("prctl(PR_GET_TID_ADDRESS)", PR_GET_TID_ADDRESS);
        let parent_death_signal = prctl("prctl(PR_GET_PDEATHSIG)", PR_GET_PDEATHSIG);
        Ok(Asked {
            alt_stack: questions.ask(tid, "sigaltstack", libc::SYS_sigaltstack, |place| [0, place]),
            clear_tid,
            parent_death_signal,
            // The file needs CAP_SYS_NICE; without it the thread asks itself.
            timer_slack: match read_timer_slack(tid)? {
                Some(slack) => TimerSlack::Known(slack),
                None => TimerSlack::Asked(
                    questions.ask(tid, "prctl(PR_GET_TIMERSLACK)", libc::SYS_prctl, |_| [PR_GET_TIMERSLACK, 0, 0, 0, 0]),
                ),
            },
        })
    }

    /// What was asked for, and what can be read.
    pub(crate) fn from_answers(
        answers: &Answers,
        asked: &Asked,
        pid: i32,
        tid: i32,
        status: &Status,
    ) -> Result<Self, ResourceError> {
        let failed = |call| move |error| ResourceError::call(call, format_args!("thread {tid}"), error);
        let (head, length) = calls::get_robust_list(tid).map_err(failed("get_robust_list"))?;
        let stack = answers.bytes::<24>(asked.alt_stack)?;
        Ok(Self {
            name: match &status.name {
                Some(name) => name.clone(),
                None => name(pid, tid)?,
            },
            alt_stack: AltStack { base: RunAddress(word(&stack, 0)), flags: half(&stack, 8) as i32, size: word(&stack, 16) },
            robust_list: RobustList { head: RunAddress(head), length },
            clear_tid: RunAddress(word(&answers.bytes::<8>(asked.clear_tid)?, 0)),
            affinity: calls::sched_getaffinity(tid).map_err(failed("sched_getaffinity"))?,
            scheduling: scheduling(tid)?,
            io_priority: calls::ioprio_get(tid).map_err(failed("ioprio_get"))?,
            timer_slack_ns: match asked.timer_slack {
                TimerSlack::Known(slack) => slack,
                TimerSlack::Asked(ticket) => answers.value(ticket)?,
            },
            parent_death_signal: half(&answers.bytes::<4>(asked.parent_death_signal)?, 0) as i32,
            seccomp_mode: status.seccomp_mode,
            seccomp_filters: status.seccomp_filters,
        })
    }

    /// Writes what was captured into the saved thread.
    pub fn fill(self, thread: &mut Thread) {
        thread.name = self.name;
        thread.alt_stack = self.alt_stack;
        thread.robust_list = self.robust_list;
        thread.clear_tid = self.clear_tid;
        thread.affinity = self.affinity;
        thread.scheduling = self.scheduling;
        thread.io_priority = self.io_priority;
        thread.timer_slack_ns = self.timer_slack_ns;
        thread.parent_death_signal = self.parent_death_signal;
        thread.seccomp_mode = self.seccomp_mode;
        thread.seccomp_filters = self.seccomp_filters;
    }
}

fn name(pid: i32, tid: i32) -> Result<Vec<u8>, ResourceError> {
    let mut name = proc::bytes(pid, &format!("task/{tid}/comm"))?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Ok(name)
}

/// From the thread's file, if that may be read.
fn read_timer_slack(tid: i32) -> Result<Option<u64>, TraceeError> {
    match proc::text(tid, "timerslack_ns") {
        Ok(text) => proc::decimal("timerslack_ns", "nanoseconds", &text).map(Some),
        Err(_) => Ok(None),
    }
}

fn scheduling(tid: i32) -> Result<Scheduling, ResourceError> {
    let failed = |call| move |source| ResourceError::call(call, format_args!("thread {tid}"), source);
    let attributes = calls::sched_getattr(tid).map_err(failed("sched_getattr"))?;
    Ok(Scheduling {
        policy: attributes.policy,
        flags: attributes.flags,
        // Real-time threads have a nice value too, which sched_getattr leaves out.
        nice: calls::nice_of(tid).map_err(failed("getpriority"))?,
        priority: attributes.priority,
        runtime_ns: attributes.runtime_ns,
        deadline_ns: attributes.deadline_ns,
        period_ns: attributes.period_ns,
    })
}

/// Gives thread `tid` of the vessel what `saved` had: call it in every thread, after its credentials. At most seven injected
/// calls, five for a usual thread. A call that may set what is there already costs less than a look.
pub fn give_back(batch: &mut Batch<'_>, tid: i32, saved: &Thread) -> Result<(), ResourceError> {
    give_back_scheduling(tid, saved)?;
    batch.add_with(tid, "prctl(PR_SET_NAME)", libc::SYS_prctl, |at| (string(&saved.name), [PR_SET_NAME, at, 0, 0, 0]))?;
    // To set zero means the default, which is zero for few: those that have it are left alone.
    if saved.timer_slack_ns != 0 || proc::text(tid, "timerslack_ns").is_ok_and(|text| text.trim() != "0") {
        let arguments = [PR_SET_TIMERSLACK, saved.timer_slack_ns, 0, 0, 0];
        batch.add(tid, "prctl(PR_SET_TIMERSLACK)", libc::SYS_prctl, arguments)?;
    }
    if saved.parent_death_signal != 0 {
        let arguments = [PR_SET_PDEATHSIG, saved.parent_death_signal as u64, 0, 0, 0];
        batch.add(tid, "prctl(PR_SET_PDEATHSIG)", libc::SYS_prctl, arguments)?;
    }
    give_back_addresses(batch, tid, saved)
}

/// What the kernel holds of the thread's memory: alternate stack, robust list, tid word, restartable sequence.
fn give_back_addresses(batch: &mut Batch<'_>, tid: i32, saved: &Thread) -> Result<(), ResourceError> {
    if saved.alt_stack.flags & SS_DISABLE == 0 {
        // That the thread runs on it follows from its stack pointer; the kernel does not take the bit.
        let flags = u64::from((saved.alt_stack.flags & !SS_ONSTACK) as u32);
        let stack = [saved.alt_stack.base.0, flags, saved.alt_stack.size];
        batch.add_with(tid, "sigaltstack", libc::SYS_sigaltstack, |at| {
            (stack.into_iter().flat_map(u64::to_le_bytes).collect(), [at, 0])
        })?;
    }
    if saved.robust_list.head.0 != 0 {
        let arguments = [saved.robust_list.head.0, saved.robust_list.length];
        batch.add(tid, "set_robust_list", libc::SYS_set_robust_list, arguments)?;
    }
    batch.add(tid, "set_tid_address", libc::SYS_set_tid_address, [saved.clear_tid.0])?;
    if let Some(rseq) = saved.rseq {
        let arguments = [rseq.address.0, u64::from(rseq.length), u64::from(rseq.flags), u64::from(rseq.signature)];
        batch.add(tid, "rseq", libc::SYS_rseq, arguments)?;
    }
    Ok(())
}

/// Sets affinity, policy, nice value and I/O priority from outside, each only if it differs.
fn give_back_scheduling(tid: i32, saved: &Thread) -> Result<(), ResourceError> {
    let failed = |call| move |source| ResourceError::call(call, format_args!("thread {tid}"), source);
    if calls::sched_getaffinity(tid).map_err(failed("sched_getaffinity"))? != saved.affinity {
        calls::sched_setaffinity(tid, &saved.affinity).map_err(failed("sched_setaffinity"))?;
    }
    let wanted = saved.scheduling;
    let present = scheduling(tid)?;
    // The nice value has a call of its own: sched_setattr would also pin the time slice of a time-sharing thread.
    if (Scheduling { nice: wanted.nice, ..present }) != wanted {
        let attributes = SchedAttributes {
            size: 0,
            policy: wanted.policy,
            flags: wanted.flags,
            nice: wanted.nice,
            priority: wanted.priority,
            runtime_ns: wanted.runtime_ns,
            deadline_ns: wanted.deadline_ns,
            period_ns: wanted.period_ns,
        };
        calls::sched_setattr(tid, &attributes).map_err(failed("sched_setattr"))?;
    }
    if calls::nice_of(tid).map_err(failed("getpriority"))? != wanted.nice {
        calls::set_nice(tid, wanted.nice).map_err(failed("setpriority"))?;
    }
    if calls::ioprio_get(tid).map_err(failed("ioprio_get"))? != saved.io_priority {
        calls::ioprio_set(tid, saved.io_priority).map_err(failed("ioprio_set"))?;
    }
    Ok(())
}

/// What thread `tid` has now, compared with what it should have.
pub fn verify(injector: &mut dyn Injector, tid: i32, saved: &Thread) -> Result<(), ResourceError> {
    let status = Status::read(injector.memory().pid(), tid)?;
    let mut now = saved.clone();
    ThreadAttributes::capture(injector, tid, &status)?.fill(&mut now);
    now.alt_stack.flags = (now.alt_stack.flags & !SS_ONSTACK) | (saved.alt_stack.flags & SS_ONSTACK);
    if now == *saved {
        return Ok(());
    }
    let differing = [
        ("name", now.name == saved.name),
        ("alternate stack", now.alt_stack == saved.alt_stack),
        ("robust list", now.robust_list == saved.robust_list),
        ("tid address", now.clear_tid == saved.clear_tid),
        ("affinity", now.affinity == saved.affinity),
        ("scheduling", now.scheduling == saved.scheduling),
        ("I/O priority", now.io_priority == saved.io_priority),
        ("timer slack", now.timer_slack_ns == saved.timer_slack_ns),
        ("parent-death signal", now.parent_death_signal == saved.parent_death_signal),
        ("seccomp mode", now.seccomp_mode == saved.seccomp_mode),
        ("seccomp filters", now.seccomp_filters == saved.seccomp_filters),
    ];
    let names: Vec<_> = differing.iter().filter(|(_, equal)| !equal).map(|(name, _)| *name).collect();
    Err(ResourceError::NotGivenBack {
        object: format!("thread {tid}: {}", names.join(", ")),
        expected: "as captured".to_owned(),
        found: "different".to_owned(),
    })
}

/// What stands in the way of making these threads again; `threads` are those of one process, the leader first.
pub fn blockers(threads: &[Thread]) -> Vec<Obstacle> {
    let Some(leader) = threads.first() else { return Vec::new() };
    let mut obstacles = Vec::new();
    for thread in threads {
        if thread.seccomp_mode == 1 {
            obstacles.push(Obstacle::Thread { tid: thread.tid, reason: "it is in strict seccomp mode".to_owned() });
        }
        if thread.alt_stack.flags & SS_ONSTACK != 0 && thread.alt_stack.flags & SS_DISABLE != 0 {
            obstacles.push(Obstacle::Thread { tid: thread.tid, reason: "its alternate stack is in an unknown state".to_owned() });
        }
    }
    let cannot_clone = leader.scheduling.policy == SCHED_DEADLINE && leader.scheduling.flags & SCHED_FLAG_RESET_ON_FORK == 0;
    if cannot_clone && threads.len() > 1 {
        let reason = "it runs under SCHED_DEADLINE, from which the kernel makes no threads".to_owned();
        obstacles.push(Obstacle::Thread { tid: leader.tid, reason });
    }
    obstacles
}

#[cfg(test)]
#[path = "threads_tests.rs"]
mod tests;

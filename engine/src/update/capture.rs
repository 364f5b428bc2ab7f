//! Everything about a stopped process, brought into the saved types.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{
    AddressSpace, Credentials, Descriptors, Generation, Host, Layout, Manifest, Mapping, Module, Process, ProcessSignals,
    ProcessTimers, ProgramId, Snapshot, Thread, Tree,
};

use crate::plan::generations;
use crate::resources::memory::{OwnPages, Scanner};
use crate::resources::questions::{Answers, Questions};
use crate::resources::threads::ThreadAttributes;
use crate::resources::{self, Obstacle, ResourceError, Status};
use crate::tracee::borrowed::Borrowed;
use crate::tracee::exec::Way;
use crate::tracee::inject::Injector;
use crate::tracee::step::is_trap;
use crate::tracee::stopped::StoppedThread;
use crate::tracee::syscall;

/// A captured process.
#[derive(Debug)]
pub struct Captured {
    /// Everything but pages.
    pub snapshot: Snapshot,
    /// Private pages that have bytes of their own.
    pub own_pages: OwnPages,
    /// Pages of shared memory without a file.
    pub shared_memory: Vec<RunRange>,
    /// Those of them that only the image of a durable capture holds.
    pub shared_pages: Vec<RunRange>,
    /// What cannot be carried.
    pub obstacles: Vec<Obstacle>,
    /// What an exec would take for good, once that is looked for; a process made anew from the image has it.
    pub exec_obstacles: Vec<Obstacle>,
    /// How an update empties the process, where nothing better is known.
    pub way: Way,
}

/// What the capture needs and can be found out before the stop.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The program that runs.
    pub program: ProgramId,
    /// The machine.
    pub host: Host,
}

/// What a capture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The same process goes on: what an exec keeps need not be recorded whole.
    Update,
    /// The image must stand alone: contents of memfds and shared memory, options of sockets.
    Durable,
}

/// Captures a stopped process.
pub fn capture(borrowed: &mut Borrowed, facts: &Facts, purpose: Purpose) -> Result<Captured, ResourceError> {
    let pid = borrowed.memory().pid();
    let statuses = read_statuses(borrowed)?;
    let answered = ask(borrowed, &statuses, purpose)?;
    let memory = resources::memory::capture_mappings(pid, &[borrowed.scratch_mapping()])?;
    let mut obstacles = resources::memory::blockers(&memory);
    obstacles.extend(resources::agreement::disagreements(pid, borrowed.threads(), &statuses)?);
    let own_pages = resources::memory::scan_own_pages(pid, &memory.mappings, Scanner::Best)?;
    let layout = answered.layout;
    let modules = resources::modules::capture_modules(borrowed.memory(), &layout, &memory.mappings, 0)?;
    let mut mappings = memory.mappings;
    resources::modules::fill_build_ids(borrowed.memory(), &modules, &mut mappings);
    obstacles.extend(resources::threads::blockers(&answered.threads));
    obstacles.extend(resources::process::blockers(&answered.process));
    let way = if resources::credentials::can_restore_itself(&answered.credentials) { Way::Stub } else { Way::Program };
    obstacles.extend(resources::timers::blockers(&answered.timers, resources::timers::Path::Hot));
    let descriptors = capture_descriptors(borrowed, purpose)?;
    obstacles.extend(resources::descriptors::blockers_of_exec(&descriptors));
    let limits = resources::limits::read_limits(pid)?;
    obstacles.extend(resources::memory::blockers_of_locks(&mappings, &limits, &answered.credentials));
    let shared_memory = resources::memory::scan_shared(pid, &mappings)?;
    let shared_pages = match purpose {
        Purpose::Update => Vec::new(),
        Purpose::Durable => shared_memory.clone(),
    };
    let generation = generation(borrowed, &modules, &mappings);
    let snapshot = Snapshot {
        manifest: manifest(facts, &answered.threads),
        tree: Tree { processes: vec![answered.process] },
        address_spaces: vec![AddressSpace { mappings, layout, lock_future: memory.lock_future }],
        modules,
        threads: answered.threads,
        signals: vec![answered.signals],
        timers: vec![answered.timers],
        descriptors,
        credentials: vec![answered.credentials],
        limits: vec![limits],
        generations: vec![generation],
    };
    Ok(Captured { snapshot, own_pages, shared_memory, shared_pages, obstacles, exec_obstacles: Vec::new(), way })
}

/// The status of each thread at the stop, the leader's first.
fn read_statuses(borrowed: &Borrowed) -> Result<Vec<Status>, ResourceError> {
    let pid = borrowed.memory().pid();
    let texts = borrowed.threads().iter().zip(borrowed.statuses());
    let parsed = texts.map(|(tid, text)| Status::parse(&format!("/proc/{pid}/task/{tid}/status"), text));
    Ok(parsed.collect::<Result<_, _>>()?)
}

/// What the process itself was asked.
struct Answered {
    layout: Layout,
    threads: Vec<Thread>,
    process: Process,
    credentials: Credentials,
    signals: ProcessSignals,
    timers: ProcessTimers,
}

/// Puts every question that an injected call answers, all of them together.
fn ask(borrowed: &mut Borrowed, statuses: &[Status], purpose: Purpose) -> Result<Answered, ResourceError> {
    let pid = borrowed.memory().pid();
    let Some(leader) = statuses.first() else {
        return Err(ResourceError::Unexpected {
            object: format!("process {pid}"),
            expected: "at least one thread",
            found: "none".to_owned(),
        });
    };
    let mut questions = Questions::new(borrowed);
    let tids = borrowed.threads().to_vec();
    let threads = tids.iter().map(|tid| ThreadAttributes::ask(&mut questions, *tid)).collect::<Result<Vec<_>, _>>()?;
    let securebits = resources::credentials::ask_securebits(&mut questions, pid);
    let handlers = resources::signals::ask_handlers(&mut questions, leader);
    let timers = resources::timers::ask_timers(&mut questions, pid, purpose == Purpose::Durable)?;
    let process = resources::process::ask_process(&mut questions);
    let brk = resources::memory::ask_break(&mut questions);
    let answers = questions.put(borrowed)?;
    let (handlers, has_guard) = resources::signals::handlers(&answers, &handlers)?;
    let mut threads = answered_threads(borrowed, &answers, &threads, statuses)?;
    if has_guard {
        threads.iter_mut().for_each(|thread| thread.pending.retain(|pending| !is_trap(pending)));
    }
    Ok(Answered {
        layout: Layout { brk: RunAddress(answers.value(brk)?), ..resources::memory::read_layout(pid)? },
        threads,
        process: resources::process::from_answers(&answers, &process, pid, leader)?,
        credentials: resources::credentials::from_answers(&answers, securebits, leader)?,
        signals: ProcessSignals { handlers, pending: borrowed.shared_pending().to_vec() },
        timers: resources::timers::from_answers(&answers, &timers)?,
    })
}

fn answered_threads(
    borrowed: &Borrowed,
    answers: &Answers,
    asked: &[resources::threads::Asked],
    statuses: &[Status],
) -> Result<Vec<Thread>, ResourceError> {
    let pid = borrowed.memory().pid();
    let threads = borrowed.stopped_threads().iter().zip(asked).zip(statuses);
    let one = |((thread, asked), status): ((&StoppedThread, _), _)| {
        let attributes = ThreadAttributes::from_answers(answers, asked, pid, thread.tid, status)?;
        let mut saved = saved_thread(thread.clone());
        attributes.fill(&mut saved);
        Ok(saved)
    };
    threads.map(one).collect()
}

fn capture_descriptors(borrowed: &mut Borrowed, purpose: Purpose) -> Result<Descriptors, ResourceError> {
    let pid = borrowed.memory().pid();
    let engine = borrowed.own_descriptors();
    let mut duplicate = |number| borrowed.export(number);
    resources::descriptors::capture(&mut resources::descriptors::CaptureRequest {
        pid,
        engine: &engine,
        durable: purpose == Purpose::Durable,
        duplicate: &mut duplicate,
    })
}

/// What earlier updates left behind the program, if it was ever updated.
fn generation(borrowed: &Borrowed, modules: &[Module], mappings: &[Mapping]) -> Generation {
    let Some(program) = modules.first() else { return Generation::default() };
    let mut bytes = vec![0; generations::RECORD_ROOM as usize];
    // No other program lies where it was linked.
    let starts = generations::annex_starts(program.range, program.bias.0 == 0, mappings);
    let mut records = starts.into_iter().filter_map(|start| {
        borrowed.memory().read_fast(start, &mut bytes).ok()?;
        generations::decode(&bytes).ok()
    });
    // A damaged or newer record is the planner's to refuse; an image records what can be read.
    records.next().map_or_else(Generation::default, |record| record.generation)
}

/// Where ptrace puts the enabled components in an XSAVE area (`arch/x86/include/asm/user.h`).
const XCR0_OFFSET: usize = 464;

fn manifest(facts: &Facts, threads: &[Thread]) -> Manifest {
    let xstate = threads.first().map_or(&[][..], |thread| &thread.xstate);
    let xfeatures = xstate.get(XCR0_OFFSET..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word));
    let created = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Manifest {
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_ns: created.as_nanos() as u64,
        program: facts.program.clone(),
        host: Host { xfeatures, ..facts.host.clone() },
        lineage: None,
    }
}

/// What ptrace alone tells of a thread; the rest is empty.
pub(super) fn saved_thread(thread: StoppedThread) -> Thread {
    Thread {
        process: 0,
        tid: thread.tid,
        name: Vec::new(),
        registers: thread.registers,
        in_syscall: thread.in_syscall,
        xstate: thread.xstate,
        signal_mask: thread.signal_mask,
        pending: thread.pending,
        alt_stack: Default::default(),
        robust_list: Default::default(),
        clear_tid: Default::default(),
        rseq: thread.rseq,
        affinity: Vec::new(),
        scheduling: Default::default(),
        io_priority: 0,
        timer_slack_ns: 0,
        parent_death_signal: 0,
        seccomp_mode: 0,
        seccomp_filters: 0,
    }
}

/// Calls that wait for the end of a restart whose number is lost: the thread cannot be made anew now.
pub fn unrestartable(threads: &[Thread]) -> Vec<Obstacle> {
    threads
        .iter()
        .filter(|thread| thread.in_syscall.is_some_and(|call| !syscall::can_restart(&call)))
        .map(|thread| Obstacle::RestartedCall { tid: thread.tid })
        .collect()
}

/// The parts of `ranges` that lie in none of `dropped`.
pub fn carried(ranges: &[RunRange], dropped: &[RunRange]) -> Vec<RunRange> {
    let mut dropped = dropped.to_vec();
    dropped.sort_unstable();
    crate::vessel::pages::subtract(ranges, &dropped)
}

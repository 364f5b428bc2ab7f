//! `update` and `plan`: a running process, stopped until it can be moved.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dsu_formats::spec::Spec;

use super::aside;
use super::cache::FrameCache;
use super::capture::{self, Captured, Purpose};
use super::error::UpdateError;
use super::health;
use super::image::{self, Pieces};
use super::journal::Journal;
use super::lock::ProcessLock;
use super::operation::{ImageSummary, Observer, PlanRequest, Planned, UpdateOutcome, UpdateRequest, Updated};
use super::phase::Phase;
use super::planner::{Planner, Told};
use super::prepare::{self, Builds, Running};
use super::seccomp;
use super::step::{self, Search};
use super::timeline::Timeline;
use super::transaction::{self, OldMemory, Transaction};
use super::way;
use crate::plan::blocker::Blocker;
use crate::plan::request::Policy;
use crate::plan::rewrite::Rewrite;
use crate::program::build::DebugSearch;
use crate::resources::Obstacle;
use crate::tracee::borrowed::Borrowed;
use crate::tracee::inject::Injector;
use crate::tracee::priority::Raised;
use crate::tracee::procfs;
use crate::tracee::target::Target;
use crate::vessel::files::MappedFiles;

/// A thread that does not stop within this is in a place where it must not be kept (a vfork, a dead device).
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How often the process is let go to find out, while it runs, how frames go on. What is still not known then is found out while it stands.
const MOST_DEFERRALS: u32 = 6;
/// How long threads may go on between two tries, in milliseconds, in turn: what has piled up during a stop is worked off right after
/// it, so that tries at one distance could all come at the same point of that.
const BETWEEN_TRIES: [u64; 7] = [3, 1, 8, 2, 14, 5, 24];

/// Moves a process to a new build.
pub fn update(request: &UpdateRequest, observer: &mut dyn Observer) -> Result<UpdateOutcome, UpdateError> {
    let target = Target::open(request.pid)?;
    let lock = ProcessLock::acquire(request.pid)?;
    let purpose = if request.keep_image.is_some() { Purpose::Durable } else { Purpose::Update };
    let told = Told {
        continuations: request.continuations.clone(),
        stacks: None,
        policy: Policy { strict: request.strict, complete: false },
    };
    let pair = Pair {
        program: &request.program,
        spec: request.spec.as_ref(),
        debug_directories: &request.debug_directories,
        cache: request.cache.as_deref(),
        told,
    };
    let mut subject = Subject::open(&target, &pair, purpose, observer)?;
    subject.accept_seccomp_risk = request.accept_seccomp_risk;
    let same = subject.builds.are_same();
    if same && !request.force {
        let build_id = subject.builds.new.elf.build_id.clone().unwrap_or_default();
        return Ok(UpdateOutcome::UpToDate { build_id });
    }
    let start_time = procfs::start_time(request.pid)?;
    let mut journal = Journal::of_process(lock.directory(), start_time);
    journal.make_files()?;
    let stock = aside::set_aside(request.pid, observer);
    if stock.bytes() > 0 {
        subject.timeline.mark("set memory aside");
    }
    let raised = Raised::new();
    let planned = subject.stop_and_plan(target, Instant::now() + request.wait, observer).inspect_err(|_| journal.remove())?;
    observer.step("update");
    let transaction = Transaction {
        captured: &planned.captured,
        rewrite: &planned.rewrite,
        new_program: if same { &subject.running.file } else { &subject.builds.new_file },
        old_program: &subject.running.file,
        journal: &journal,
        stock: &stock,
        stopped_at: planned.stopped_at,
        start_time,
    };
    let shared = image::read(planned.borrowed.memory(), &image::saved_shared(&planned.captured))?;
    let mut old_memory = transaction.run(planned.borrowed, std::mem::take(&mut subject.files), &mut subject.timeline)?;
    drop(raised);
    let untidy = old_memory.take_untidy().map(|source| Box::new(UpdateError::Untidy(Box::new(source))));
    let (image, later_failure) = match keep_image(request, &planned.captured, &old_memory, &shared) {
        Ok(image) => (image, untidy),
        Err(error) => (None, Some(Box::new(error))),
    };
    drop(old_memory);
    subject.timeline.mark("tidy up");
    let later_failure = later_failure.or_else(|| unhealthy(request, observer));
    let captured = &planned.captured.snapshot;
    Ok(UpdateOutcome::Updated(Box::new(Updated {
        pid: request.pid,
        old_build_id: subject.builds.old.elf.build_id.clone().unwrap_or_default(),
        new_build_id: subject.builds.new.elf.build_id.clone().unwrap_or_default(),
        report: planned.rewrite.report,
        threads: captured.threads.len(),
        descriptors: captured.descriptors.tables.first().map_or(0, |table| table.descriptors.len()),
        children: captured.tree.processes.first().map_or(Vec::new(), |process| process.children.clone()),
        pause_ms: subject.timeline.pause_ms(),
        steps: subject.timeline.steps().to_vec(),
        attempts: planned.attempts,
        image,
        later_failure,
    })))
}

/// What the health check says against the new version, if there is one and it does.
fn unhealthy(request: &UpdateRequest, observer: &mut dyn Observer) -> Option<Box<UpdateError>> {
    let health = request.spec.as_ref()?.health.as_ref()?;
    observer.step("health check");
    health::check(health, request.pid).err().map(Box::new)
}

/// Writes the image of the old process from the holder, while the new one already runs.
fn keep_image(
    request: &UpdateRequest,
    captured: &Captured,
    old: &OldMemory,
    shared: &Pieces,
) -> Result<Option<ImageSummary>, UpdateError> {
    let (Some(path), Some(holder)) = (&request.keep_image, old.holder()) else { return Ok(None) };
    image::write(path, &captured.snapshot, holder.memory(), &image::saved_ranges(captured), shared).map(Some)
}

/// Plans an update and changes nothing.
pub fn plan(request: &PlanRequest, observer: &mut dyn Observer) -> Result<Planned, UpdateError> {
    let target = Target::open(request.pid)?;
    let _lock = ProcessLock::acquire(request.pid)?;
    let told = Told {
        continuations: request.continuations.clone(),
        stacks: request.stacks.clone(),
        policy: Policy { strict: request.strict, complete: true },
    };
    let pair = Pair {
        program: &request.program,
        spec: request.spec.as_ref(),
        debug_directories: &request.debug_directories,
        cache: request.cache.as_deref(),
        told,
    };
    let mut subject = Subject::open(&target, &pair, Purpose::Update, observer)?;
    subject.accept_seccomp_risk = request.accept_seccomp_risk;
    let raised = Raised::new();
    let planned = subject.stop_and_plan(target, Instant::now() + request.wait, observer)?;
    drop(planned.borrowed.give_back()?.resume());
    drop(raised);
    subject.timeline.mark("let go");
    subject.timeline.resume();
    let captured = planned.captured.snapshot;
    Ok(Planned {
        pid: request.pid,
        old_build_id: subject.builds.old.elf.build_id.clone().unwrap_or_default(),
        new_build_id: subject.builds.new.elf.build_id.clone().unwrap_or_default(),
        report: planned.rewrite.report,
        threads: captured.threads.len(),
        descriptors: captured.descriptors.tables.first().map_or(0, |table| table.descriptors.len()),
        children: captured.tree.processes.first().map_or(Vec::new(), |process| process.children.clone()),
        pause_ms: subject.timeline.pause_ms(),
        steps: subject.timeline.steps().to_vec(),
    })
}

/// What a process is to be moved to, and with which answers.
struct Pair<'a> {
    program: &'a Path,
    spec: Option<&'a Spec>,
    debug_directories: &'a [PathBuf],
    cache: Option<&'a Path>,
    told: Told,
}

/// A process with both builds, read and compared while it runs.
struct Subject {
    running: Running,
    builds: Builds,
    facts: capture::Facts,
    /// Files below the mappings that the process had before the stop.
    files: MappedFiles,
    planner: Planner,
    /// Where what is found out about frames is kept, and how many frames are.
    cache: Option<(FrameCache, usize)>,
    files_give_privilege: bool,
    purpose: Purpose,
    accept_seccomp_risk: bool,
    timeline: Timeline,
}

/// A stopped process with a plan that nothing blocks.
struct Ready {
    borrowed: Borrowed,
    captured: Captured,
    rewrite: Rewrite,
    stopped_at: Instant,
    attempts: u32,
}

impl Subject {
    fn open(target: &Target, pair: &Pair<'_>, purpose: Purpose, observer: &mut dyn Observer) -> Result<Self, UpdateError> {
        let mut timeline = Timeline::start();
        let pid = target.pid();
        let running = Running::open(pid)?;
        observer.step("read programs");
        let mut search = DebugSearch::default();
        search.directories.extend_from_slice(pair.debug_directories);
        let builds = Builds::open(&running, pair.program, &search)?;
        timeline.mark("read programs");
        let (facts, mappings) = prepare::facts(target, &running, builds.old.elf.build_id.clone())?;
        let planner = Planner::new(pid, &running, &builds, (pair.spec, pair.told.clone()))?;
        let mut files = MappedFiles::default();
        if let Err(error) = files.open_missing(pid, &mappings) {
            tracing::debug!(%error, "a mapped file is left to be opened while the process stands still");
        }
        let files_give_privilege = way::files_give_privilege(pid);
        timeline.mark("compare programs");
        let cache = pair.cache.and_then(|directory| FrameCache::new(directory, &builds, pair.spec));
        let known = cache.as_ref().map_or(0, |cache| planner.learn(cache, &builds));
        planner.foresee(target, &running, &mappings, &builds);
        let cache = cache.map(|cache| {
            let kept = planner.keep(&cache, &builds, known);
            (cache, kept)
        });
        timeline.mark("follow frames");
        Ok(Self {
            running,
            builds,
            facts,
            files,
            planner,
            cache,
            files_give_privilege,
            purpose,
            accept_seccomp_risk: false,
            timeline,
        })
    }

    /// Stops the process until nothing blocks, or something does that waiting does not change.
    fn stop_and_plan(&mut self, mut target: Target, give_up: Instant, observer: &mut dyn Observer) -> Result<Ready, UpdateError> {
        let mut attempts = 0;
        let mut deferrals = 0;
        let mut searches = 0;
        let mut runs = 0;
        let mut earlier = None;
        loop {
            attempts += 1;
            self.planner.defer(deferrals < MOST_DEFERRALS);
            observer.step("stop");
            self.timeline.pause();
            let stopped_at = Instant::now();
            let mut stopped = target.stop(stopped_at + STOP_LIMIT)?;
            if let Some(earlier) = earlier.as_mut().filter(|_| stopped_at < give_up)
                && self.planner.is_active(&stopped, earlier, &self.builds)
            {
                let (planner, builds, limit) = (&self.planner, &self.builds, step::limit(searches));
                let found;
                (stopped, found) = Search { planner, builds, earlier, limit, runs: &mut runs, until: give_up }.run(stopped)?;
                self.timeline.mark("step");
                if !found {
                    searches += 1;
                    target = stopped.resume();
                    self.timeline.resume();
                    let stood = stopped_at.elapsed();
                    match self.follow_deferred() {
                        true => deferrals += 1,
                        false => wait_between(attempts),
                    }
                    // The process gets as much time for itself.
                    std::thread::sleep(stood.min(give_up.saturating_duration_since(Instant::now())));
                    continue;
                }
            }
            seccomp::check(&stopped, self.accept_seccomp_risk)?;
            let mut borrowed = stopped.borrow()?;
            self.timeline.mark("stop");
            transaction::pass(Phase::Stopped, borrowed.memory().pid())?;
            let mut captured = capture::capture(&mut borrowed, &self.facts, self.purpose)?;
            captured.way = way::choose(&captured, self.files_give_privilege);
            captured.exec_obstacles = way::obstacles(&mut borrowed, &captured, &self.running, &self.builds, &mut self.files)?;
            self.timeline.mark("capture");
            let planned = self.planner.plan(&borrowed, &captured, &self.builds);
            self.timeline.mark("plan");
            let (blockers, obstacles) = match planned {
                Ok(rewrite) => return Ok(Ready { borrowed, captured, rewrite, stopped_at, attempts }),
                Err(UpdateError::Blocked { blockers, obstacles }) => (blockers, obstacles),
                Err(other) => return Err(other),
            };
            target = borrowed.give_back()?.resume();
            self.timeline.resume();
            if self.follow_deferred() {
                deferrals += 1;
                self.planner.start_plugins(&self.builds)?;
                earlier = Some(captured.snapshot);
                continue;
            }
            let may_pass = !obstacles.is_empty() || blockers.iter().any(Blocker::is_transient);
            let passing = may_pass && obstacles.iter().all(Obstacle::is_transient);
            if !passing || Instant::now() >= give_up {
                return Err(UpdateError::Blocked { blockers, obstacles });
            }
            observer.waiting(&blockers);
            self.planner.start_plugins(&self.builds)?;
            earlier = Some(captured.snapshot);
            wait_between(attempts);
        }
    }
}

impl Subject {
    /// Finds out, while the process runs, how the frames go on that a look at it asked about; whether there were any.
    fn follow_deferred(&mut self) -> bool {
        let any = self.planner.follow_deferred(&self.builds);
        if let Some((cache, kept)) = self.cache.as_mut().filter(|_| any) {
            *kept = self.planner.keep(cache, &self.builds, *kept);
        }
        any
    }
}

/// Threads need time of their own to leave the functions that change; there is no event that says they did.
fn wait_between(attempts: u32) {
    std::thread::sleep(Duration::from_millis(BETWEEN_TRIES[attempts as usize % BETWEEN_TRIES.len()]));
}

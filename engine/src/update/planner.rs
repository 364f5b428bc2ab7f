//! Between a capture and the planner: obstacles first, then the plan over the stopped process's memory.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use dsu_formats::address::{PAGE_SIZE, RunAddress};
use dsu_formats::model::latest::{Backing, Mapping, ProgramId, Snapshot};
use dsu_formats::spec::{Problem, Spec, SpecError};

use super::cache::FrameCache;
use super::capture::{self, Captured};
use super::error::UpdateError;
use super::libraries::Libraries;
use super::memory::StoppedMemory;
use super::prepare::{Builds, Running};
use super::{look, room, shared};
use crate::plan;
use crate::plan::blocker::PlanError;
use crate::plan::compare::Comparison;
use crate::plan::data::made::Maker;
use crate::plan::frames::{Continuations, Explainer, StackReports};
use crate::plan::planner::early::{Stuck, is_active, stuck};
use crate::plan::request::{Policy, Request};
use crate::plan::rewrite::Rewrite;
use crate::plan::source::MemorySource;
use crate::plugin::batches::{PluginMaker, Plugins, Sides};
use crate::plugin::session::Launcher;
use crate::program::address::LinkAddress;
use crate::resources::ResourceError;
use crate::resources::memory::{Room, measure_room};
use crate::tracee::borrowed::Borrowed;
use crate::tracee::inject::Injector;
use crate::tracee::memory::RemoteMemory;
use crate::tracee::stopped::{Stopped, StoppedThread};
use crate::tracee::target::Target;

/// What the planner can know before the stop.
#[derive(Debug)]
pub struct Planner {
    /// `None` when both programs are one build.
    prepared: Option<Prepared>,
    room: Room,
}

/// The two builds compared, and what else of a plan is on disk.
#[derive(Debug)]
pub(super) struct Prepared {
    comparison: Comparison,
    libraries: Libraries,
    file: ProgramId,
    plugins: Option<Plugins>,
    told: Told,
}

/// What a plan is told from outside, and whom it tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// How frames of changed functions go on, in place of what is found out about them.
    pub(super) continuations: Option<Arc<dyn Continuations>>,
    /// Who wants to know what becomes of every frame.
    pub(super) stacks: Option<Arc<StackReports>>,
    /// How much is to be found out, and what evidence is enough.
    pub(super) policy: Policy,
}

/// A place in code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The program's function.
    pub(super) function: Option<usize>,
    /// Whether it changes.
    pub(super) changes: bool,
    /// Whether it is known that a thread which stands there can go on in the new code.
    pub(super) is_point: bool,
}

impl Planner {
    /// Compares the builds, with the user's answers, and reads the libraries of `pid`.
    pub(super) fn new(
        pid: i32,
        running: &Running,
        builds: &Builds,
        (spec, told): (Option<&Spec>, Told),
    ) -> Result<Self, UpdateError> {
        let room = measure_room(pid)?;
        check_guards(spec, builds, &running.path)?;
        if builds.are_same() {
            return Ok(Self { prepared: None, room });
        }
        let prepared = Prepared::new(builds, (spec, told), || Ok(Libraries::read(pid, running.id.inode)?))?;
        Ok(Self { prepared: Some(prepared), room })
    }

    /// Starts the plugins anew for another try: what they had was used up by the last one.
    pub fn start_plugins(&self, builds: &Builds) -> Result<(), UpdateError> {
        self.prepared.as_ref().map_or(Ok(()), |prepared| prepared.start_plugins(builds))
    }

    /// Whether a changed function is active in a process that was captured before, as `earlier`: a small part of a plan, to try
    /// again without having kept the process from its work. Its threads are brought up to date.
    pub fn is_active(&self, stopped: &Stopped, earlier: &mut Snapshot, builds: &Builds) -> bool {
        let process = (stopped.threads(), stopped.memory());
        self.look(process, earlier, builds, is_active).unwrap_or(false)
    }

    /// The threads of such a process that cannot go on where they are; `None` where more stands against an update than their places.
    pub fn stuck(
        &self,
        process: (&[StoppedThread], &RemoteMemory),
        earlier: &mut Snapshot,
        builds: &Builds,
    ) -> Option<Vec<Stuck>> {
        self.look(process, earlier, builds, stuck).flatten()
    }

    fn look<R>(
        &self,
        (threads, memory): (&[StoppedThread], &RemoteMemory),
        earlier: &mut Snapshot,
        builds: &Builds,
        function: impl FnOnce(&Request<'_>) -> R,
    ) -> Option<R> {
        let prepared = self.prepared.as_ref()?;
        earlier.threads = threads.iter().cloned().map(capture::saved_thread).collect();
        let memory = StoppedMemory::new(memory, &[], &[]);
        Some(prepared.with_request(earlier, &memory, builds, function))
    }

    /// What is at an address of such a process.
    pub(super) fn place_of(&self, earlier: &Snapshot, builds: &Builds, address: RunAddress) -> Place {
        let program = earlier.modules.first().zip(self.prepared.as_ref());
        let place = program.and_then(|(module, prepared)| {
            let view = prepared.comparison.view(&builds.old, &builds.new);
            let link = LinkAddress(address.0.wrapping_sub(module.bias.0));
            let (function, _) = view.sides.old.functions.containing(link)?;
            let changes = !view.same_code(function);
            Some(Place {
                function: Some(function),
                changes,
                is_point: changes && prepared.comparison.prepared.is_point(function, link),
            })
        });
        place.unwrap_or_default()
    }

    /// As [`Planner::defer`] with `true`, without forgetting what was noted; gives whether frames were noted before.
    pub fn defer_more(&self) -> bool {
        self.prepared.as_ref().is_some_and(|prepared| prepared.comparison.prepared.defer_more())
    }

    /// Finds out how frames go on that may be on the stacks of a process that runs.
    pub fn foresee(&self, target: &Target, running: &Running, mappings: &[Mapping], builds: &Builds) {
        let Some(prepared) = self.prepared.as_ref().filter(|prepared| prepared.told.continuations.is_none()) else { return };
        let own = running.id.inode;
        let is_program = |mapping: &&Mapping| matches!(mapping.backing, Backing::File { inode, .. } if inode == own);
        let Some(first) = mappings.iter().find(is_program) else { return };
        let lowest = builds.old.elf.load_range().0.0;
        let bias = first.range.start.0.wrapping_sub(lowest - lowest % PAGE_SIZE);
        let words = look::stack_words(target, mappings);
        prepared.explainer(builds).foresee(words.into_iter().map(|word| LinkAddress(word.wrapping_sub(bias))));
    }

    /// Takes what is known of frames from earlier updates between the same builds; gives how many.
    pub fn learn(&self, cache: &FrameCache, builds: &Builds) -> usize {
        let Some(prepared) = self.prepared.as_ref().filter(|prepared| prepared.told.continuations.is_none()) else { return 0 };
        match cache.load() {
            Ok(frames) => {
                let known = frames.len();
                prepared.explainer(builds).learn(frames);
                known
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "nothing is taken from earlier updates");
                0
            }
        }
    }

    /// Keeps what is known of frames, if that is more than `known`; gives how many are kept.
    pub fn keep(&self, cache: &FrameCache, builds: &Builds, known: usize) -> usize {
        let Some(prepared) = self.prepared.as_ref().filter(|prepared| prepared.told.continuations.is_none()) else {
            return known;
        };
        let frames = prepared.explainer(builds).found();
        if frames.len() <= known {
            return known;
        }
        if let Err(error) = cache.store(&frames) {
            tracing::debug!(error = &error as &dyn std::error::Error, "nothing is kept for later updates");
        }
        frames.len()
    }

    /// Whether frames of which nothing is known yet are noted rather than followed while the process stands still.
    pub fn defer(&self, deferring: bool) {
        if let Some(prepared) = &self.prepared {
            prepared.comparison.prepared.defer(deferring);
        }
    }

    /// Finds out how the frames go on that were noted; whether there were any.
    pub fn follow_deferred(&self, builds: &Builds) -> bool {
        self.prepared.as_ref().is_some_and(|prepared| prepared.explainer(builds).follow_deferred())
    }

    /// Plans the move of a captured process.
    pub fn plan(&self, borrowed: &Borrowed, captured: &Captured, builds: &Builds) -> Result<Rewrite, UpdateError> {
        let mut obstacles = captured.obstacles.clone();
        obstacles.extend(captured.exec_obstacles.iter().cloned());
        obstacles.extend(capture::unrestartable(&captured.snapshot.threads));
        let planned = match &self.prepared {
            None => Ok(plan::identity(&captured.snapshot)),
            Some(prepared) => {
                let memory = StoppedMemory::new(borrowed.memory(), &captured.own_pages.runs, &captured.shared_memory);
                prepared.plan(&captured.snapshot, &memory, builds)
            }
        };
        match planned {
            Ok(rewrite) => {
                obstacles.extend(shared::obstacles(borrowed.memory().pid(), &captured.snapshot, &rewrite.shared));
                obstacles.extend(room::obstacles(&self.room, captured, &rewrite));
                if obstacles.is_empty() { Ok(rewrite) } else { Err(UpdateError::Blocked { blockers: Vec::new(), obstacles }) }
            }
            Err(PlanError::Blocked(blockers)) => Err(UpdateError::Blocked { blockers, obstacles }),
            Err(PlanError::Source(error)) => Err(error.into()),
        }
    }
}

impl Prepared {
    /// Compares the builds, with the user's answers; `libraries` reads those that are loaded.
    pub(super) fn new(
        builds: &Builds,
        (spec, told): (Option<&Spec>, Told),
        libraries: impl FnOnce() -> Result<Libraries, UpdateError>,
    ) -> Result<Self, UpdateError> {
        let comparison = match spec {
            None => Comparison::new(&builds.old, &builds.new),
            Some(spec) => Comparison::answered(&builds.old, &builds.new, spec).map_err(|error| spec_error(spec, error))?,
        };
        let plugins = spec.and_then(|spec| plugins(spec, &comparison));
        let prepared = Self { comparison, libraries: libraries()?, file: new_file(builds)?, plugins, told };
        prepared.start_plugins(builds)?;
        Ok(prepared)
    }

    /// Plans the move of a process that is described by `snapshot` and `memory`.
    pub(super) fn plan(&self, snapshot: &Snapshot, memory: &dyn MemorySource, builds: &Builds) -> Result<Rewrite, PlanError> {
        self.with_request(snapshot, memory, builds, plan::plan)
    }

    /// Runs `function` on what is known of a stopped process and both builds.
    fn with_request<R>(
        &self,
        snapshot: &Snapshot,
        memory: &dyn MemorySource,
        builds: &Builds,
        function: impl FnOnce(&Request<'_>) -> R,
    ) -> R {
        let libraries = self.libraries.of_modules(&snapshot.modules);
        let maker = self.maker(builds);
        let explainer = self.explainer(builds);
        function(&Request {
            snapshot,
            memory,
            old: &builds.old,
            new: &builds.new,
            comparison: &self.comparison,
            libraries: &libraries,
            file: &self.file,
            maker: maker.as_ref().map(|maker| maker as &dyn Maker),
            continuations: Some(self.told.continuations.as_deref().unwrap_or(&explainer)),
            stacks: self.told.stacks.as_deref(),
            policy: self.told.policy,
        })
    }

    fn explainer<'a>(&'a self, builds: &'a Builds) -> Explainer<'a> {
        Explainer { view: self.comparison.view(&builds.old, &builds.new), comparison: &self.comparison }
    }

    fn maker<'a>(&'a self, builds: &'a Builds) -> Option<PluginMaker<'a>> {
        let tables = (&builds.old.debug.types, &builds.new.debug.types);
        let sides = Sides { tables, changes: &self.comparison.data.types };
        self.plugins.as_ref().map(|plugins| plugins.maker(sides))
    }

    fn start_plugins(&self, builds: &Builds) -> Result<(), UpdateError> {
        let started = self.maker(builds).map_or(Ok(()), |maker| maker.prepare());
        started.map_err(|error| UpdateError::Blocked { blockers: vec![plan::answers::plugin(&error)], obstacles: Vec::new() })
    }
}

/// The plugins that a spec names; their programs are found from its folder.
fn plugins(spec: &Spec, comparison: &Comparison) -> Option<Plugins> {
    let named = &comparison.bound.plugins;
    let program = std::env::current_exe().unwrap_or_else(|_| "dsu".into());
    let launcher = Launcher { program, arguments: vec!["plugin-sandbox".into()] };
    let folder = spec.source.path.parent().unwrap_or(std::path::Path::new(""));
    (!named.is_empty()).then(|| Plugins::new(launcher, (named, folder), &comparison.bound.rules))
}

/// Refuses a spec that is for other builds; `old_path` is where the program of the process is or was.
pub(super) fn check_guards(spec: Option<&Spec>, builds: &Builds, old_path: &Path) -> Result<(), UpdateError> {
    match spec {
        Some(spec) => refuse(spec, plan::spec::guards::check(spec, (&builds.old, old_path), &builds.new)),
        None => Ok(()),
    }
}

fn refuse(spec: &Spec, problems: Vec<Problem>) -> Result<(), UpdateError> {
    if problems.is_empty() { Ok(()) } else { Err(spec_error(spec, SpecError(problems))) }
}

fn spec_error(spec: &Spec, source: SpecError) -> UpdateError {
    UpdateError::Spec { path: spec.source.path.clone(), source }
}

/// The new program's file as the image names it.
fn new_file(builds: &Builds) -> Result<ProgramId, UpdateError> {
    let path = std::fs::canonicalize(&builds.new.path).unwrap_or_else(|_| builds.new.path.clone());
    let failed = |source| ResourceError::File { operation: "look at", path: path.clone(), source };
    let metadata = builds.new_file.metadata().map_err(failed)?;
    Ok(ProgramId {
        path: path.as_os_str().as_bytes().to_vec(),
        build_id: builds.new.elf.build_id.clone(),
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        deleted: false,
    })
}

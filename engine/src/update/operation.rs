//! What the commands ask for, and what they get.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dsu_formats::spec::Spec;

pub use super::checkpoint::checkpoint;
use super::error::UpdateError;
pub use super::live::{plan, update};
pub use super::recover::recover;
pub use super::restore::restore;
use super::timeline::Step;
pub use super::transform::{plan_image, transform};
use crate::plan::blocker::Blocker;
use crate::plan::frames::{Continuations, StackReports};
use crate::plan::rewrite::Report;

/// Told how an operation goes on, for progress on a terminal.
pub trait Observer {
    /// A step begins.
    fn step(&mut self, name: &'static str);

    /// The process was let go again; it will be stopped once more when its threads have gone on.
    fn waiting(&mut self, blockers: &[Blocker]);
}

/// Move a process to a new build.
#[derive(Clone, Debug)]
pub struct UpdateRequest {
    /// The process.
    pub pid: i32,
    /// The new build.
    pub program: PathBuf,
    /// The user's answers.
    pub spec: Option<Spec>,
    /// How long to try for a moment at which no changed function is active.
    pub wait: Duration,
    /// Where to write an image of the old process after the update.
    pub keep_image: Option<PathBuf>,
    /// Go through the vessel even when the process already runs this build.
    pub force: bool,
    /// Go on although a seccomp filter would not let the process find its way back, were the engine killed.
    pub accept_seccomp_risk: bool,
    /// Whether blocks of the heap that evidence alone clears stand in the way.
    pub strict: bool,
    /// Further directories that hold debug information.
    pub debug_directories: Vec<PathBuf>,
    /// Where what is found out about frames is kept for the next update between the same builds.
    pub cache: Option<PathBuf>,
    /// How frames of changed functions go on, in place of what is found out about them: for tests.
    #[doc(hidden)]
    pub continuations: Option<Arc<dyn Continuations>>,
}

/// How an update ended.
#[derive(Debug)]
pub enum UpdateOutcome {
    /// The process already ran the build.
    UpToDate {
        /// Its build-id.
        build_id: Vec<u8>,
    },
    /// The process runs the new build.
    Updated(Box<Updated>),
}

/// What an update did.
#[derive(Debug)]
pub struct Updated {
    /// The process.
    pub pid: i32,
    /// Build-id before.
    pub old_build_id: Vec<u8>,
    /// Build-id now.
    pub new_build_id: Vec<u8>,
    /// What the plan rewrote.
    pub report: Report,
    /// Threads carried.
    pub threads: usize,
    /// Descriptors carried.
    pub descriptors: usize,
    /// Children that stay on the old version.
    pub children: Vec<i32>,
    /// How long the process stood still, in milliseconds.
    pub pause_ms: f64,
    /// Time by step.
    pub steps: Vec<Step>,
    /// How many times the process was stopped for it.
    pub attempts: u32,
    /// The image that was kept.
    pub image: Option<ImageSummary>,
    /// What failed after the commit.
    pub later_failure: Option<Box<UpdateError>>,
}

/// An image that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// Where.
    pub path: PathBuf,
    /// Length in bytes.
    pub bytes: u64,
    /// Pages with bytes.
    pub pages_stored: u64,
    /// Touched pages that are all zero.
    pub zero_pages: u64,
}

/// Plan an update and change nothing.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The process.
    pub pid: i32,
    /// The new build.
    pub program: PathBuf,
    /// The user's answers.
    pub spec: Option<Spec>,
    /// How long to try for a moment at which no changed function is active.
    pub wait: Duration,
    /// As for an update: a plan makes calls in the process, too.
    pub accept_seccomp_risk: bool,
    /// Whether blocks of the heap that evidence alone clears stand in the way.
    pub strict: bool,
    /// Further directories that hold debug information.
    pub debug_directories: Vec<PathBuf>,
    /// As for an update.
    pub cache: Option<PathBuf>,
    /// As for an update.
    #[doc(hidden)]
    pub continuations: Option<Arc<dyn Continuations>>,
    /// Who wants to know what becomes of every frame, whether or not there is a plan.
    pub stacks: Option<Arc<StackReports>>,
}

/// A plan that nothing blocks.
#[derive(Debug)]
pub struct Planned {
    /// The process.
    pub pid: i32,
    /// Build-id of the running program.
    pub old_build_id: Vec<u8>,
    /// Build-id of the new program.
    pub new_build_id: Vec<u8>,
    /// What would be rewritten.
    pub report: Report,
    /// Threads.
    pub threads: usize,
    /// Descriptors.
    pub descriptors: usize,
    /// Children that would stay on the old version.
    pub children: Vec<i32>,
    /// How long the process stood still for the plan, in milliseconds.
    pub pause_ms: f64,
    /// Time by step.
    pub steps: Vec<Step>,
}

/// An image and a build to move it to.
#[derive(Clone, Debug)]
pub struct ImagePair {
    /// The image.
    pub image: PathBuf,
    /// The new build.
    pub program: PathBuf,
    /// The old build, where it is not found by itself.
    pub old: Option<PathBuf>,
    /// The user's answers.
    pub spec: Option<Spec>,
    /// Whether blocks of the heap that evidence alone clears stand in the way.
    pub strict: bool,
    /// Further directories that hold debug information.
    pub debug_directories: Vec<PathBuf>,
    /// Who wants to know what becomes of every frame, whether or not there is a plan.
    pub stacks: Option<Arc<StackReports>>,
}

/// What a plan for an image comes to.
#[derive(Debug)]
pub struct ImagePlanned {
    /// The image.
    pub image: PathBuf,
    /// Build-id of its program.
    pub old_build_id: Vec<u8>,
    /// Build-id of the new program.
    pub new_build_id: Vec<u8>,
    /// What is rewritten.
    pub report: Report,
    /// Threads.
    pub threads: usize,
    /// Descriptors.
    pub descriptors: usize,
    /// Selectors of indirect functions that run at the restore.
    pub selectors: usize,
    /// Blocks that the program's allocator makes at the restore.
    pub blocks: usize,
    /// Functions of the new program that are called at the restore.
    pub calls: usize,
    /// What a restore will refuse or warn of.
    pub warnings: Vec<String>,
    /// Time by step.
    pub steps: Vec<Step>,
}

/// How the rewriting of an image ended.
#[derive(Debug)]
pub enum TransformOutcome {
    /// The image already is of the build; nothing was written.
    UpToDate {
        /// Its build-id.
        build_id: Vec<u8>,
    },
    /// The image was rewritten.
    Transformed(Box<Transformed>),
}

/// An image that was rewritten.
#[derive(Debug)]
pub struct Transformed {
    /// What was rewritten.
    pub planned: ImagePlanned,
    /// The new image.
    pub image: ImageSummary,
    /// What a lineage names the new image by.
    pub identity: u32,
    /// What a lineage names the old image by.
    pub parent: u32,
}

/// What becomes of a process after its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    Run,
    /// It is stopped by SIGSTOP.
    Stop,
    /// It is killed.
    Kill,
}

/// Write an image of a process.
#[derive(Clone, Debug)]
pub struct CheckpointRequest {
    /// The process.
    pub pid: i32,
    /// Where the image goes.
    pub output: PathBuf,
    /// What becomes of the process.
    pub then: Then,
    /// As for an update: a checkpoint makes calls in the process, too.
    pub accept_seccomp_risk: bool,
}

/// A checkpoint that was taken.
#[derive(Debug)]
pub struct Checkpointed {
    /// The process.
    pub pid: i32,
    /// The image.
    pub image: ImageSummary,
    /// How long the process stood still, in milliseconds.
    pub pause_ms: f64,
    /// Time by step.
    pub steps: Vec<Step>,
    /// What a cold restore from the image will refuse or warn of.
    pub warnings: Vec<String>,
}

/// Start a process from an image.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The image.
    pub image: PathBuf,
}

/// A process that was restored from an image.
#[derive(Debug)]
pub struct Restored {
    /// The process.
    pub pid: i32,
    /// Its threads.
    pub threads: usize,
    /// What is not as it was, without being wrong.
    pub warnings: Vec<String>,
    /// Time by step.
    pub steps: Vec<Step>,
}

/// What a recovery found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredTo {
    /// There was nothing to recover.
    NothingToDo,
    /// The engine died before the exec; the process had healed itself, and what it left behind was removed.
    HealedItself,
    /// The process was parked and runs the old version again.
    OldVersion,
    /// The new version was complete and has been let go.
    NewVersion,
}

/// The end of a recovery.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The process.
    pub pid: i32,
    /// Where it is now.
    pub outcome: RecoveredTo,
}

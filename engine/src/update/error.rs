//! Why a transaction did not end as asked, and in which state it left the process.

use crate::plan::blocker::{Blocker, PlanError};
use crate::resources::{Obstacle, ResourceError};
use crate::tracee::error::TraceeError;
use crate::vessel::error::VesselError;

use super::lock::LockError;

/// A transaction that did not reach its goal.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Another engine, or no place for locks.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The process could not be taken or called; it is untouched.
    #[error(transparent)]
    Tracee(#[from] TraceeError),
    /// A resource could not be captured; the process is untouched.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The plan is blocked, or something of the process cannot be carried; it is untouched.
    #[error("{} reasons not to go on", .blockers.len() + .obstacles.len())]
    Blocked {
        /// What the plan found.
        blockers: Vec<Blocker>,
        /// What the capture found.
        obstacles: Vec<Obstacle>,
    },
    /// The spec is not for these builds, or names what they do not have; the process is untouched.
    #[error("the spec {path} does not fit these programs")]
    Spec {
        /// The spec file.
        path: std::path::PathBuf,
        /// Everything that is wrong.
        #[source]
        source: dsu_formats::spec::SpecError,
    },
    /// The program that runs cannot be read or lacks debug information.
    #[error("the running program {path} cannot be used for a plan")]
    OldProgram {
        /// Where it is or was.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: Box<crate::program::error::ProgramError>,
    },
    /// The new program cannot be read or lacks debug information.
    #[error("the new program {path} cannot be used for a plan")]
    NewProgram {
        /// Where it is.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: Box<crate::program::error::ProgramError>,
    },
    /// The process could not be read for the plan; it is untouched.
    #[error("cannot read the process for the plan")]
    Source(#[from] crate::plan::source::SourceError),
    /// A step before the exec failed; the process is as it was.
    #[error("the update was given up before the point of no return")]
    GivenUp(#[source] Box<VesselError>),
    /// The new image could not be restored; the old one was, and runs.
    #[error("the new program could not be restored; the old one runs on")]
    RolledBack(#[source] Box<VesselError>),
    /// Neither could be restored: the process is parked with everything it owns.
    #[error("process {pid} is parked: it could be moved neither forward nor back")]
    Parked {
        /// The process.
        pid: i32,
        /// What went wrong going forward.
        #[source]
        source: Box<VesselError>,
        /// What went wrong going back.
        back: Box<VesselError>,
    },
    /// The new program runs, and the engine's own mappings are still in it.
    #[error("the new program runs, but what the update needed is still in its memory")]
    Untidy(#[source] Box<TraceeError>),
    /// The new program runs, and the user's health check says that it does not work.
    #[error("the new program runs, but its health check `{command}` failed: {reason}")]
    Health {
        /// The command.
        command: String,
        /// How it ended, and what it said.
        reason: String,
    },
    /// A recovery failed: the process is as parked as it was.
    #[error("process {pid} stays parked")]
    StillParked {
        /// The process.
        pid: i32,
        /// Cause.
        #[source]
        source: Box<VesselError>,
    },
    /// An image could not be written or read.
    #[error("cannot {operation} the image{}", .path.as_ref().map_or(String::new(), |path| format!(" {}", path.display())))]
    Image {
        /// Verb.
        operation: &'static str,
        /// The file, where there is one.
        path: Option<std::path::PathBuf>,
        /// Cause.
        #[source]
        source: Box<dsu_formats::image::ImageError>,
    },
    /// An image whose parts do not fit together.
    #[error("the image {path} does not hold together: {}", .findings.first().map_or("it has more than one process", String::as_str))]
    Unsound {
        /// The file.
        path: std::path::PathBuf,
        /// What a verification found.
        findings: Vec<String>,
    },
    /// Pages of an image are elsewhere, so that it cannot be rewritten by itself.
    #[error("{pages} pages of the image {path} are not in it but in {place}")]
    PagesElsewhere {
        /// The file.
        path: std::path::PathBuf,
        /// How many.
        pages: u64,
        /// Where they are.
        place: String,
    },
    /// An image that was rewritten before, whose program has work to do first that only a restore does.
    #[error("the image {path} is finished only by its restore, when {what}")]
    Unfinished {
        /// The file.
        path: std::path::PathBuf,
        /// What the restore does.
        what: String,
    },
    /// The program that an image was made of is not to be found.
    #[error("the program {path} that the image was made of is not to be found; looked at {looked}")]
    NoOldProgram {
        /// Where it was at the capture.
        path: std::path::PathBuf,
        /// Every place, and what is there.
        looked: String,
    },
    /// A process could not be made from an image; what there was of it never ran and is gone.
    #[error("process {pid} could not be restored")]
    NotRestored {
        /// The PID that it would have had.
        pid: i32,
        /// Cause.
        #[source]
        source: Box<VesselError>,
    },
    /// The process ended meanwhile.
    #[error("process {pid} ended during the update")]
    Lost {
        /// The process.
        pid: i32,
        /// What showed it.
        #[source]
        source: Box<TraceeError>,
    },
    /// The journal could not be written or read.
    #[error("cannot {operation} the journal {path}")]
    Journal {
        /// Verb.
        operation: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<PlanError> for UpdateError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Blocked(blockers) => Self::Blocked { blockers, obstacles: Vec::new() },
            PlanError::Source(source) => Self::Source(source),
        }
    }
}

impl UpdateError {
    /// A step before the exec failed and everything was undone.
    pub fn given_up(error: impl Into<VesselError>) -> Self {
        Self::GivenUp(Box::new(error.into()))
    }
}

//! A vessel that could not be filled.

use dsu_engine::tracee::error::TraceeError;
use dsu_engine::vessel::error::VesselError;

use super::system::unexpected_hint;
use super::{Exit, Sorted, Subject, Verdict};

impl Sorted for VesselError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        match self {
            VesselError::Tracee(error) => error.verdict(subject),
            VesselError::Resource(error) => error.verdict(subject),
            VesselError::Mapping { source, .. } => source.verdict(subject),
            VesselError::NoFile { path, .. } => Verdict::new(
                Exit::Blocked,
                "no-file",
                format!(
                    "put {path} back as it was when it was mapped (same inode), or run dsu as root, which can open it without a path"
                ),
            ),
            VesselError::NoPage { .. } => Verdict::new(
                Exit::Failed,
                "no-page",
                "the source of the pages is incomplete: `dsu verify IMAGE` checks an image; a live process can be tried again",
            ),
            VesselError::Mismatch { .. } => Verdict::new(Exit::Failed, "mismatch", unexpected_hint()),
            VesselError::Call { source: TraceeError::Deadline { .. }, .. } => Verdict::new(
                Exit::Failed,
                "function-failed",
                "a function that is called before the new program runs on may not wait for anything: all other threads stand still",
            ),
            VesselError::Call { source, .. } => source.verdict(subject),
            VesselError::NoBlock { .. } => Verdict::new(
                Exit::Failed,
                "no-block",
                "objects of changed types need new memory from the program's allocator: look at its limits (RLIMIT_AS, RLIMIT_DATA, cgroup)",
            ),
            VesselError::NotTried => Verdict::new(Exit::Parked, "not-tried", "`dsu recover` tries it"),
            VesselError::NoSite { .. } => Verdict::new(
                Exit::Blocked,
                "no-site",
                format!("the address space of process {} is full: it has to unmap something first", subject.pid()),
            ),
        }
    }
}

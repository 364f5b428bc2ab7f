//! Transactions that did not reach their goal: what became of the process, and what its cause suggests.

use dsu_engine::resources::{Obstacle, ResourceError};
use dsu_engine::tracee::error::{Refusal, TraceeError};
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::lock::LockError;
use dsu_engine::vessel::error::VesselError;
use dsu_formats::image::ImageError;
use dsu_formats::journal::JournalError;

use super::system::{io_verdict, unexpected_hint};
use super::{Exit, Failure, Sorted, State, Subject, Verdict, chain, plan, resources, spec};

/// A command about `subject` that ended with `error`.
pub fn update_failure(error: &UpdateError, subject: &Subject<'_>) -> Failure {
    let mut failure = Failure::sorted(error, error.verdict(subject), state(error, subject));
    match error {
        UpdateError::Blocked { blockers, obstacles } => {
            failure.blockers = blockers.iter().map(|blocker| plan::reason(blocker, subject)).collect();
            failure.obstacles = obstacles.iter().map(|obstacle| resources::reason(obstacle, subject)).collect();
            failure.chain = vec![blocked_message(blockers.len() + obstacles.len(), subject)];
        }
        UpdateError::Spec { source, .. } => {
            failure.chain.truncate(1);
            failure.chain.extend(spec::problem_lines(source));
        }
        UpdateError::Parked { back, .. } => failure.also = Some(("on the way back", chain(&**back))),
        _ => {}
    }
    failure
}

fn blocked_message(count: usize, subject: &Subject<'_>) -> String {
    let reasons = if count == 1 { "1 reason stands".to_owned() } else { format!("{count} reasons stand") };
    match subject {
        Subject::Process(pid) => format!("{reasons} in the way of process {pid}"),
        Subject::File(path) => format!("{reasons} in the way of {}", path.display()),
    }
}

fn state(error: &UpdateError, subject: &Subject<'_>) -> State {
    let Subject::Process(pid) = *subject else { return State::Nothing };
    match error {
        UpdateError::RolledBack(_) => State::OldVersion(pid),
        UpdateError::Parked { pid, .. } | UpdateError::StillParked { pid, .. } => State::Parked(*pid),
        UpdateError::Lost { pid, .. } => State::Ended(*pid),
        UpdateError::Tracee(TraceeError::Refused { reason, .. }) if !is_living(reason) => State::Nothing,
        _ => State::Untouched(pid),
    }
}

/// A step that failed after the commit: the process runs the new version.
pub fn later_failure(error: &UpdateError, pid: i32) -> Failure {
    let mut failure = update_failure(error, &Subject::Process(pid));
    failure.exit = Exit::LaterStep;
    failure.state = State::NewVersion(pid);
    failure
}

/// Whether a refused target is a process that could have been changed.
fn is_living(reason: &Refusal) -> bool {
    !matches!(reason, Refusal::NoSuchProcess | Refusal::Zombie | Refusal::KernelThread | Refusal::NotALeader)
}

impl Sorted for UpdateError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        match self {
            UpdateError::Lock(error) => error.verdict(subject),
            UpdateError::Tracee(error) => error.verdict(subject),
            UpdateError::Resource(error) => error.verdict(subject),
            UpdateError::Blocked { blockers, obstacles } => {
                let only_privilege =
                    blockers.is_empty() && obstacles.iter().all(|found| matches!(found, Obstacle::Privilege { .. }));
                let exit = if only_privilege { Exit::Lacking } else { Exit::Blocked };
                Verdict::new(exit, "blocked", blocked_hint(subject))
            }
            UpdateError::Spec { .. } => spec::wrong_spec(),
            UpdateError::OldProgram { source, .. } | UpdateError::NewProgram { source, .. } => source.verdict(subject),
            UpdateError::Source(error) => boxed_verdict(&*error.source, subject),
            UpdateError::GivenUp(source) => source.verdict(subject),
            UpdateError::RolledBack(source) => rolled_back(source, subject),
            UpdateError::Parked { pid, .. } => Verdict::new(Exit::Parked, "parked", format!("`dsu recover --pid {pid}`")),
            UpdateError::Untidy(_) => Verdict::new(
                Exit::LaterStep,
                "untidy",
                match subject {
                    Subject::Process(pid) => format!("`dsu recover --pid {pid}` removes it"),
                    Subject::File(_) => "`dsu recover` removes it".to_owned(),
                },
            ),
            UpdateError::Health { .. } => Verdict::new(
                Exit::LaterStep,
                "health-check",
                "look at the program's log; an update to the old build takes it back, with the state that it has gained since",
            ),
            UpdateError::StillParked { source, .. } => Verdict { exit: Exit::Parked, ..source.verdict(subject) },
            UpdateError::Image { source, .. } => source.verdict(subject),
            UpdateError::Unsound { path, .. } => Verdict::new(
                Exit::Failed,
                "unsound-image",
                format!("`dsu verify {}` lists everything that does not fit", path.display()),
            ),
            UpdateError::PagesElsewhere { .. } => Verdict::new(
                Exit::Failed,
                "pages-elsewhere",
                "take a checkpoint of the process: an image of `dsu checkpoint` has all its pages",
            ),
            UpdateError::Unfinished { path, .. } => Verdict::new(
                Exit::Failed,
                "unfinished-image",
                format!(
                    "restore it (`dsu restore {}`) and take a checkpoint of that process; or rewrite the image that this one was made from",
                    path.display()
                ),
            ),
            UpdateError::NoOldProgram { .. } => {
                Verdict::new(Exit::Failed, "no-old-program", "name the file of that build with --old FILE")
            }
            UpdateError::NotRestored { source, .. } => source.verdict(subject),
            UpdateError::Lost { pid, .. } => Verdict::new(
                Exit::Failed,
                "process-ended",
                format!("start the program anew; if nobody ended process {pid} on purpose, report this with the output of -vv"),
            ),
            UpdateError::Journal { source, .. } => boxed_verdict(&**source, subject),
        }
    }
}

/// After a roll-back the exit code says so, whatever the cause; what would help is the cause's.
fn rolled_back(source: &VesselError, subject: &Subject<'_>) -> Verdict {
    Verdict { exit: Exit::RolledBack, ..source.verdict(subject) }
}

fn blocked_hint(subject: &Subject<'_>) -> String {
    match subject {
        Subject::Process(_) => "where waiting does not help, start the new program in place of the old one".to_owned(),
        Subject::File(_) => "`dsu inspect` shows what the image holds".to_owned(),
    }
}

/// Sorts a cause that the library passes on without its type.
fn boxed_verdict(error: &(dyn std::error::Error + 'static), subject: &Subject<'_>) -> Verdict {
    if let Some(error) = error.downcast_ref::<TraceeError>() {
        return error.verdict(subject);
    }
    if let Some(error) = error.downcast_ref::<ResourceError>() {
        return error.verdict(subject);
    }
    if let Some(error) = error.downcast_ref::<ImageError>() {
        return error.verdict(subject);
    }
    if let Some(error) = error.downcast_ref::<JournalError>() {
        return error.verdict(subject);
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return io_verdict(error, subject);
    }
    Verdict::new(Exit::Failed, "unexpected", unexpected_hint())
}

impl Sorted for LockError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        match self {
            LockError::Busy { pid } => Verdict::new(
                Exit::Failed,
                "busy",
                format!("wait until the other one is done (`pgrep -a dsu`), then look at process {pid} again"),
            ),
            LockError::Directory { source, .. } => io_verdict(source, subject),
            LockError::Open { path, .. } => Verdict::new(
                Exit::Lacking,
                "open-directory",
                format!("make sure that nobody planted {0}, then `chmod 700 {0}`, and try again", path.display()),
            ),
            LockError::Foreign { path, .. } => Verdict::new(
                Exit::Lacking,
                "foreign-directory",
                format!("make sure that nobody planted {0}, remove it (rm -r {0}), and try again", path.display()),
            ),
        }
    }
}

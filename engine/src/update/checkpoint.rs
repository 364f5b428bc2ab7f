//! `checkpoint`: an image of a process, taken in a short stop.
//!
//! The process stands still while its threads and resources are read. Its memory is then a copy-on-write copy in a parked
//! task, from which the image is written while the process goes on.

use std::time::{Duration, Instant};

use super::capture::{self, Captured, Purpose};
use super::cold;
use super::error::UpdateError;
use super::image::{self, Pieces};
use super::lock::ProcessLock;
use super::operation::{CheckpointRequest, Checkpointed, ImageSummary, Observer, Then};
use super::prepare::{self, Running};
use super::seccomp;
use super::timeline::Timeline;
use crate::program::build::Library;
use crate::resources::ResourceError;
use crate::tracee::borrowed::Borrowed;
use crate::tracee::inject::Injector;
use crate::tracee::procfs;
use crate::tracee::target::Target;
use crate::vessel::pages::subtract;

const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Writes an image of a process.
pub fn checkpoint(request: &CheckpointRequest, observer: &mut dyn Observer) -> Result<Checkpointed, UpdateError> {
    let mut timeline = Timeline::start();
    let target = Target::open(request.pid)?;
    let _lock = ProcessLock::acquire(request.pid)?;
    let running = Running::open(request.pid)?;
    let build_id = Library::from_file(&running.file, &running.path).ok().and_then(|program| program.elf.build_id);
    let (facts, _) = prepare::facts(&target, &running, build_id)?;
    timeline.mark("prepare");
    let job_stopped = procfs::state(request.pid) == Some('T');
    observer.step("stop");
    timeline.pause();
    let stopped = target.stop(Instant::now() + STOP_LIMIT)?;
    seccomp::check(&stopped, request.accept_seccomp_risk)?;
    let mut borrowed = stopped.borrow()?;
    timeline.mark("stop");
    let captured = capture::capture(&mut borrowed, &facts, Purpose::Durable)?;
    timeline.mark("capture");
    let (obstacles, mut warnings) = judge(&captured, request);
    if job_stopped {
        warnings.push("a restore will let it run: an image does not say that a process is stopped by a signal".to_owned());
    }
    if !obstacles.is_empty() {
        drop(borrowed);
        return Err(UpdateError::Blocked { blockers: Vec::new(), obstacles });
    }
    observer.step("write image");
    let shared = image::read(borrowed.memory(), &image::saved_shared(&captured))?;
    let image = match request.then {
        Then::Run => write_while_running(borrowed, &captured, shared, request, &mut timeline)?,
        Then::Stop | Then::Kill => write_while_stopped(borrowed, &captured, &shared, request, &mut timeline)?,
    };
    Ok(Checkpointed { pid: request.pid, image, pause_ms: timeline.pause_ms(), steps: timeline.steps().to_vec(), warnings })
}

/// A process is not killed for an image that no process can be made from; while it goes on that is a warning.
fn judge(captured: &Captured, request: &CheckpointRequest) -> (Vec<crate::resources::Obstacle>, Vec<String>) {
    let mut obstacles = captured.obstacles.clone();
    obstacles.extend(capture::unrestartable(&captured.snapshot.threads));
    let cold = cold::obstacles_at_capture(&captured.snapshot);
    if request.then == Then::Kill {
        obstacles.extend(cold);
        return (obstacles, Vec::new());
    }
    (obstacles, cold.iter().map(|obstacle| format!("a restore will be refused: {obstacle}")).collect())
}

/// Lets the process go on at once and writes the image from a copy of its memory.
fn write_while_running(
    mut borrowed: Borrowed,
    captured: &Captured,
    mut pieces: Pieces,
    request: &CheckpointRequest,
    timeline: &mut Timeline,
) -> Result<ImageSummary, UpdateError> {
    let (path, snapshot) = (&request.output, &captured.snapshot);
    let saved = image::saved_ranges(captured);
    let copy = match borrowed.start_copy() {
        Ok(copy) => copy,
        // There may be no room for a second copy of the page tables: then the process waits for the image.
        Err(error) => {
            tracing::info!(%error, "the process stays stopped while its image is written");
            let image = image::write(path, snapshot, borrowed.memory(), &saved, &pieces)?;
            drop(borrowed.give_back()?);
            timeline.mark("write image");
            timeline.resume();
            return Ok(image);
        }
    };
    let apart = image::not_inherited(captured);
    let read = image::read(borrowed.memory(), &apart);
    let kept = borrowed.keep(&copy);
    timeline.mark("copy");
    let let_go = borrowed.give_back().map(drop);
    timeline.mark("let go");
    timeline.resume();
    let written = kept.and(let_go).and(read).map_err(UpdateError::from).and_then(|more| {
        pieces.extend(more);
        image::write(path, snapshot, copy.memory(), &subtract(&saved, &apart), &pieces)
    });
    copy.end();
    timeline.mark("write image");
    written
}

/// Writes the image while the process stands still, and then stops or kills it.
fn write_while_stopped(
    borrowed: Borrowed,
    captured: &Captured,
    shared: &Pieces,
    request: &CheckpointRequest,
    timeline: &mut Timeline,
) -> Result<ImageSummary, UpdateError> {
    let saved = image::saved_ranges(captured);
    let image = image::write(&request.output, &captured.snapshot, borrowed.memory(), &saved, shared)?;
    timeline.mark("write image");
    let stopped = borrowed.give_back()?;
    // Sent while every thread is in a ptrace stop: none runs on after the image.
    let signal = if request.then == Then::Kill { nix::sys::signal::SIGKILL } else { nix::sys::signal::SIGSTOP };
    let pid = nix::unistd::Pid::from_raw(request.pid);
    nix::sys::signal::kill(pid, signal).map_err(|source| ResourceError::Call {
        call: "kill",
        object: format!("process {}", request.pid),
        source,
    })?;
    drop(stopped);
    timeline.mark("let go");
    timeline.resume();
    Ok(image)
}

//! `checkpoint`: an image of a process, taken in a short stop.
//!
//! The process stands still while its threads and resources are read. Its memory is then a copy-on-write copy in a parked
//! task, from which the image is written while the process goes on.

use std::time::{Duration, Instant};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::image::{ImageError, ImageWriter};
use dsu_formats::model::latest::{Mapping, Snapshot};

use super::capture::{self, Captured};
use super::error::UpdateError;
use super::lock::ProcessLock;
use super::operation::{CheckpointRequest, Checkpointed, ImageSummary, Observer, Then};
use super::prepare::{self, Running};
use super::timeline::Timeline;
use crate::program::build::Library;
use crate::resources::ResourceError;
use crate::tracee::borrowed::Borrowed;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;
use crate::tracee::memory::RemoteMemory;
use crate::tracee::target::Target;
use crate::vessel::pages::subtract;

const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Bytes that are read and written at a time.
const BUFFER: usize = 1 << 20;

/// Writes an image of a process.
pub fn checkpoint(request: &CheckpointRequest, observer: &mut dyn Observer) -> Result<Checkpointed, UpdateError> {
    let _lock = ProcessLock::acquire(request.pid)?;
    let mut timeline = Timeline::start();
    let target = Target::open(request.pid)?;
    let running = Running::open(request.pid)?;
    let build_id = Library::from_file(&running.file, &running.path).ok().and_then(|program| program.elf.build_id);
    let facts = prepare::facts(&target, &running, build_id)?;
    timeline.mark("prepare");
    observer.step("stop");
    timeline.pause();
    let mut borrowed = target.stop(Instant::now() + STOP_LIMIT)?.borrow()?;
    timeline.mark("stop");
    let captured = capture::capture(&mut borrowed, &facts)?;
    timeline.mark("capture");
    let obstacles = captured.obstacles.clone();
    if !obstacles.is_empty() {
        drop(borrowed);
        return Err(UpdateError::Blocked { blockers: Vec::new(), obstacles });
    }
    observer.step("write image");
    let image = match request.then {
        Then::Run => write_while_running(borrowed, &captured, request, &mut timeline)?,
        Then::Stop | Then::Kill => write_while_stopped(borrowed, &captured, request, &mut timeline)?,
    };
    timeline.mark("write image");
    Ok(Checkpointed {
        pid: request.pid,
        image,
        pause_ms: timeline.pause_ms(),
        steps: timeline.steps().to_vec(),
        warnings: Vec::new(),
    })
}

/// Lets the process go on at once and writes the image from a copy of its memory.
fn write_while_running(
    mut borrowed: Borrowed,
    captured: &Captured,
    request: &CheckpointRequest,
    timeline: &mut Timeline,
) -> Result<ImageSummary, UpdateError> {
    let copy = match borrowed.start_copy() {
        Ok(copy) => copy,
        // There may be no room for a second copy of the page tables: then the process waits for the image.
        Err(error) => {
            tracing::info!(%error, "the process stays stopped while its image is written");
            let image = write(borrowed.memory(), captured, request)?;
            drop(borrowed);
            return Ok(image);
        }
    };
    let apart = not_inherited(captured);
    let read = apart.iter().map(|range| read_range(borrowed.memory(), *range)).collect::<Result<Vec<_>, _>>();
    let kept = borrowed.keep(&copy);
    timeline.mark("copy");
    let let_go = borrowed.give_back().map(drop);
    timeline.resume();
    let written = kept.and(let_go).and(read).map_err(UpdateError::from).and_then(|pieces| {
        let mut writer = create(request)?;
        put_ranges(&mut writer, copy.memory(), &subtract(&saved_ranges(captured), &apart))?;
        for (start, bytes) in &pieces {
            put(&mut writer, *start, bytes)?;
        }
        finish(writer, &captured.snapshot, request)
    });
    copy.end();
    written
}

/// Writes the image while the process stands still, and then stops or kills it.
fn write_while_stopped(
    borrowed: Borrowed,
    captured: &Captured,
    request: &CheckpointRequest,
    timeline: &mut Timeline,
) -> Result<ImageSummary, UpdateError> {
    let image = write(borrowed.memory(), captured, request)?;
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
    timeline.resume();
    Ok(image)
}

fn write(memory: &RemoteMemory, captured: &Captured, request: &CheckpointRequest) -> Result<ImageSummary, UpdateError> {
    let mut writer = create(request)?;
    put_ranges(&mut writer, memory, &saved_ranges(captured))?;
    finish(writer, &captured.snapshot, request)
}

/// Private pages that go into an image: not those that the program keeps out of dumps, nor secret memory.
fn saved_ranges(captured: &Captured) -> Vec<RunRange> {
    let kept_out: Vec<RunRange> = mappings(captured)
        .iter()
        .filter(|mapping| mapping.flags.dont_dump || mapping.flags.secret)
        .map(|mapping| mapping.range)
        .collect();
    subtract(&captured.own_pages.runs, &kept_out)
}

/// Own pages of mappings that a fork leaves out or wipes.
fn not_inherited(captured: &Captured) -> Vec<RunRange> {
    let inherited: Vec<RunRange> = mappings(captured)
        .iter()
        .filter(|mapping| !mapping.flags.dont_fork && !mapping.flags.wipe_on_fork)
        .map(|mapping| mapping.range)
        .collect();
    subtract(&saved_ranges(captured), &inherited)
}

fn mappings(captured: &Captured) -> &[Mapping] {
    captured.snapshot.address_spaces.first().map_or(&[], |space| &space.mappings)
}

fn create(request: &CheckpointRequest) -> Result<ImageWriter, UpdateError> {
    ImageWriter::create(&request.output).map_err(|error| image_error(request, error))
}

fn put_ranges(writer: &mut ImageWriter, memory: &RemoteMemory, ranges: &[RunRange]) -> Result<(), UpdateError> {
    let mut buffer = vec![0u8; BUFFER];
    for range in ranges {
        let mut at = range.start.0;
        while at < range.end.0 {
            let length = (range.end.0 - at).min(BUFFER as u64) as usize;
            memory.read_fast(RunAddress(at), &mut buffer[..length])?;
            put(writer, RunAddress(at), &buffer[..length])?;
            at += length as u64;
        }
    }
    Ok(())
}

fn put(writer: &mut ImageWriter, start: RunAddress, bytes: &[u8]) -> Result<(), UpdateError> {
    writer.put_pages(0, start, bytes).map_err(|source| UpdateError::Image {
        operation: "write",
        path: None,
        source: Box::new(source),
    })
}

fn read_range(memory: &RemoteMemory, range: RunRange) -> Result<(RunAddress, Vec<u8>), TraceeError> {
    let mut bytes = vec![0; range.len() as usize];
    memory.read(range.start, &mut bytes)?;
    Ok((range.start, bytes))
}

fn finish(writer: ImageWriter, snapshot: &Snapshot, request: &CheckpointRequest) -> Result<ImageSummary, UpdateError> {
    let summary = writer.finish(snapshot).map_err(|error| image_error(request, error))?;
    Ok(ImageSummary {
        path: request.output.clone(),
        bytes: summary.bytes,
        pages_stored: summary.stored_pages,
        zero_pages: summary.zero_pages,
    })
}

fn image_error(request: &CheckpointRequest, source: ImageError) -> UpdateError {
    UpdateError::Image { operation: "write", path: Some(request.output.clone()), source: Box::new(source) }
}

//! Image files of captured processes.

use std::path::Path;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::image::{ImageError, ImageWriter};
use dsu_formats::model::latest::{Mapping, Snapshot};

use super::capture::Captured;
use super::error::UpdateError;
use super::operation::ImageSummary;
use crate::tracee::error::TraceeError;
use crate::tracee::memory::RemoteMemory;
use crate::vessel::pages::subtract;

/// Bytes that are read and written at a time.
const BUFFER: usize = 1 << 20;

/// Bytes that were read apart, with the address of each run.
pub(super) type Pieces = Vec<(RunAddress, Vec<u8>)>;

/// Writes an image: `ranges` from `memory`, and `pieces` that were read before.
pub(super) fn write(
    path: &Path,
    snapshot: &Snapshot,
    memory: &RemoteMemory,
    ranges: &[RunRange],
    pieces: &Pieces,
) -> Result<ImageSummary, UpdateError> {
    let failed =
        |error: ImageError| UpdateError::Image { operation: "write", path: Some(path.to_owned()), source: Box::new(error) };
    let mut writer = ImageWriter::create(path).map_err(failed)?;
    let mut buffer = vec![0u8; BUFFER];
    for range in ranges {
        let mut at = range.start.0;
        while at < range.end.0 {
            let length = (range.end.0 - at).min(BUFFER as u64) as usize;
            memory.read_fast(RunAddress(at), &mut buffer[..length])?;
            writer.put_pages(0, RunAddress(at), &buffer[..length]).map_err(failed)?;
            at += length as u64;
        }
    }
    for (start, bytes) in pieces {
        writer.put_pages(0, *start, bytes).map_err(failed)?;
    }
    let summary = writer.finish(snapshot).map_err(failed)?;
    Ok(ImageSummary {
        path: path.to_owned(),
        bytes: summary.bytes,
        pages_stored: summary.stored_pages,
        zero_pages: summary.zero_pages,
    })
}

/// Reads ranges whole.
pub(super) fn read(memory: &RemoteMemory, ranges: &[RunRange]) -> Result<Pieces, TraceeError> {
    ranges
        .iter()
        .map(|range| {
            let mut bytes = vec![0; range.len() as usize];
            memory.read_fast(range.start, &mut bytes)?;
            Ok((range.start, bytes))
        })
        .collect()
}

/// Private pages that go into an image: not those that the program keeps out of dumps, nor secret memory.
pub(super) fn saved_ranges(captured: &Captured) -> Vec<RunRange> {
    subtract(&captured.own_pages.runs, &kept_out(captured))
}

/// Shared pages that go into an image.
pub(super) fn saved_shared(captured: &Captured) -> Vec<RunRange> {
    subtract(&captured.shared_pages, &kept_out(captured))
}

/// Own pages of mappings that a fork leaves out or wipes.
pub(super) fn not_inherited(captured: &Captured) -> Vec<RunRange> {
    let inherited: Vec<RunRange> = mappings(captured)
        .iter()
        .filter(|mapping| !mapping.flags.dont_fork && !mapping.flags.wipe_on_fork)
        .map(|mapping| mapping.range)
        .collect();
    subtract(&saved_ranges(captured), &inherited)
}

fn kept_out(captured: &Captured) -> Vec<RunRange> {
    let hidden = mappings(captured).iter().filter(|mapping| mapping.flags.dont_dump || mapping.flags.secret);
    hidden.map(|mapping| mapping.range).collect()
}

fn mappings(captured: &Captured) -> &[Mapping] {
    captured.snapshot.address_spaces.first().map_or(&[], |space| &space.mappings)
}

//! The image that a plan makes of an image.

use std::path::Path;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{ImageError, ImageReader, ImageWriter, PageBytes, Run, Summary};
use dsu_formats::model::latest::{Backing, Description, Extent, Kind, Lineage, Mapping, PageSource, Snapshot};

use super::files::StoredFiles;
use super::memory::StoredError;
use super::overlay::{Overlay, steps};
use super::work;
use crate::plan::rewrite::{Rewrite, SharedWord};
use crate::plan::source::SourceError;
use crate::update::error::UpdateError;

/// Bytes of pages without carried bytes that are made at a time.
const STEP: u64 = 1 << 20;

/// What is rewritten, and with what.
pub struct Rewritten<'a> {
    /// The image as it was.
    pub image: &'a ImageReader,
    /// The plan for it.
    pub rewrite: &'a Rewrite,
    /// Files below the mappings of the new program and of all others.
    pub files: &'a StoredFiles<'a>,
    /// Build-ids of old and new program.
    pub build_ids: (&'a [u8], &'a [u8]),
}

impl Rewritten<'_> {
    /// Writes the image whole to `path`: it needs neither the old image nor the old program.
    ///
    /// # Errors
    /// Pages that cannot be read, or a file that cannot be written; nothing is at `path` then that was not there before.
    pub fn write(&self, path: &Path) -> Result<Summary, UpdateError> {
        let failed =
            |error: ImageError| UpdateError::Image { operation: "write", path: Some(path.to_owned()), source: Box::new(error) };
        let mut writer = ImageWriter::create(path).map_err(failed)?;
        let overlay = Overlay::of(self.rewrite);
        let carried = self.carry(&overlay, &mut writer, &failed)?;
        for range in overlay.pages().iter().flat_map(|range| range.without(&carried)) {
            for step in steps(range, STEP) {
                let mut bytes = vec![0; step.len() as usize];
                self.read_fresh(step, &mut bytes)?;
                overlay.apply(step.start, &mut bytes);
                writer.put_pages(0, step.start, &bytes).map_err(failed)?;
            }
        }
        let report = serde_json::to_vec(&self.rewrite.report).unwrap_or_default();
        writer.set_plan_report(report).map_err(failed)?;
        writer.set_work(&work::saved(self.rewrite)).map_err(failed)?;
        writer.finish(&self.snapshot()).map_err(failed)
    }

    /// Pages that the old image has and the plan does not drop, with what the plan stores over them. Gives their ranges.
    fn carry(
        &self,
        overlay: &Overlay<'_>,
        writer: &mut ImageWriter,
        failed: &impl Fn(ImageError) -> UpdateError,
    ) -> Result<Vec<RunRange>, UpdateError> {
        let mut carried: Vec<RunRange> = Vec::new();
        for run in self.image.pages().runs() {
            let run = run.map_err(|source| UpdateError::Image { operation: "read", path: None, source: Box::new(source) })?;
            for part in run.range.without(&self.rewrite.dropped) {
                put(&run, part, overlay, writer).map_err(failed)?;
                match carried.last_mut() {
                    Some(last) if last.end == part.start => last.end = part.end,
                    _ => carried.push(part),
                }
            }
        }
        Ok(carried)
    }

    /// Pages as the new program's mappings show them before anything is stored.
    fn read_fresh(&self, range: RunRange, bytes: &mut [u8]) -> Result<(), UpdateError> {
        let mappings = self.rewrite.snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
        for mapping in mappings {
            let Some(part) = mapping.range.intersection(&range) else { continue };
            let Backing::File { offset, .. } = &mapping.backing else { continue };
            let within = (part.start.0 - range.start.0) as usize;
            let piece = &mut bytes[within..within + part.len() as usize];
            let from = offset + (part.start.0 - mapping.range.start.0);
            self.files.read(&mapping.backing, from, piece).map_err(|source| unreadable(mapping, part, source))?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.rewrite.snapshot.clone();
        let created = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let manifest = &mut snapshot.manifest;
        manifest.created_ns = created.as_nanos() as u64;
        env!("CARGO_PKG_VERSION").clone_into(&mut manifest.engine_version);
        manifest.lineage = Some(Lineage {
            parent: self.image.identity(),
            old_build_id: self.build_ids.0.to_vec(),
            new_build_id: self.build_ids.1.to_vec(),
        });
        let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
        let words: Vec<(u64, u64, u64)> = self.rewrite.shared.iter().filter_map(|word| in_memory_file(mappings, word)).collect();
        store_in_memory_files(&mut snapshot.descriptors.descriptions, &words);
        snapshot
    }
}

/// Stores a part of a run of pages.
fn put(run: &Run<'_>, part: RunRange, overlay: &Overlay<'_>, writer: &mut ImageWriter) -> Result<(), ImageError> {
    let touched = overlay.touches(part);
    let extent = |source| Extent { address_space: run.address_space, start: part.start, pages: part.len() / PAGE_SIZE, source };
    let stored = match run.bytes {
        PageBytes::Holder => return writer.put_reference(extent(PageSource::Holder)),
        PageBytes::Zero if !touched => return writer.put_reference(extent(PageSource::Zero)),
        PageBytes::Zero => None,
        PageBytes::Stored(bytes) => {
            let from = (part.start.0 - run.range.start.0) as usize;
            bytes.get(from..from + part.len() as usize)
        }
    };
    match stored {
        Some(bytes) if !touched => writer.put_pages(run.address_space, part.start, bytes),
        _ => {
            let mut bytes = stored.map_or_else(|| vec![0; part.len() as usize], <[u8]>::to_vec);
            overlay.apply(part.start, &mut bytes);
            writer.put_pages(run.address_space, part.start, &bytes)
        }
    }
}

fn unreadable(mapping: &Mapping, part: RunRange, source: std::io::Error) -> UpdateError {
    let source = Box::new(StoredError::File { range: mapping.range, source });
    UpdateError::Source(SourceError { address: part.start, length: part.len() as usize, source })
}

/// Inode, offset and new value of a word in a mapped memory file, whose bytes an image also has with its descriptor.
fn in_memory_file(mappings: &[Mapping], word: &SharedWord) -> Option<(u64, u64, u64)> {
    let mapping = mappings.iter().find(|mapping| mapping.range.contains(RunAddress(word.address.0)))?;
    match &mapping.backing {
        Backing::File { path, inode, offset, .. } if path.starts_with(b"/memfd:") => {
            Some((*inode, offset + (word.address.0 - mapping.range.start.0), word.new))
        }
        _ => None,
    }
}

fn store_in_memory_files(descriptions: &mut [Description], words: &[(u64, u64, u64)]) {
    for description in descriptions {
        let Kind::MemFd { inode: own, contents, .. } = &mut description.kind else { continue };
        for (_, offset, word) in words.iter().filter(|(inode, ..)| inode == own) {
            let place = usize::try_from(*offset).ok().and_then(|offset| contents.get_mut(offset..)?.get_mut(..8));
            if let Some(place) = place {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

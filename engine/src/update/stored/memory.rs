//! The memory of a process in an image, as the planner reads it: stored pages, and below them what a fresh mapping shows.

use std::collections::HashMap;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{ImageReader, PageBytes, Pages, Run};
use dsu_formats::model::latest::{Backing, Mapping, Sharing};

use super::files::StoredFiles;
use crate::plan::source::{MemorySource, SourceError};

/// Why bytes of a process in an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// No mapping is there.
    #[error("nothing is mapped at {0}")]
    NotMapped(RunAddress),
    /// The kernel's own memory, which is in no image.
    #[error("{what} at {address} is the kernel's, and in no image")]
    Kernel {
        /// The mapping's name.
        what: &'static str,
        /// Where.
        address: RunAddress,
    },
    /// A page that is in a holder and not in the file.
    #[error("the page at {0} is in a live holder, not in the file")]
    Holder(RunAddress),
    /// The image has the page and it cannot be read.
    #[error(transparent)]
    Image(#[from] dsu_formats::image::ImageError),
    /// The file below a mapping cannot be read.
    #[error("cannot read the file below the mapping {range}")]
    File {
        /// The mapping.
        range: RunRange,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}

/// The memory of the one process of an image.
pub struct StoredMemory<'a> {
    pages: Pages<'a>,
    mappings: &'a [Mapping],
    files: &'a StoredFiles<'a>,
    vdso: Option<&'a [u8]>,
    own: Vec<RunRange>,
    shared: Vec<RunRange>,
    /// Mappings of each object that several mappings may show.
    views: HashMap<Object, Vec<(u64, RunRange)>>,
    /// Words that a selector is still to fill in: nothing can be learnt from them.
    unresolved: Vec<RunAddress>,
}

/// Memory without a name that more than one mapping may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Object {
    Anonymous(u64),
    MemoryFile(u64),
    Segment(i32),
}

impl<'a> StoredMemory<'a> {
    /// The memory in `image`, with `files` below its mappings and the bytes of its vdso where they are known.
    pub fn new(image: &'a ImageReader, files: &'a StoredFiles<'a>, vdso: Option<&'a [u8]>) -> Self {
        let mappings = image.snapshot().address_spaces.first().map_or(&[][..], |space| &space.mappings);
        let mut views: HashMap<Object, Vec<(u64, RunRange)>> = HashMap::new();
        for mapping in mappings.iter().filter(|mapping| mapping.sharing == Sharing::Shared) {
            if let Some((object, offset)) = object(&mapping.backing) {
                views.entry(object).or_default().push((offset, mapping.range));
            }
        }
        let slots = image.work().iter().flat_map(|work| &work.resolvers).flat_map(|resolver| &resolver.slots);
        let mut unresolved: Vec<RunAddress> = slots.map(|(slot, _)| *slot).collect();
        unresolved.sort_unstable();
        let (own, shared) = stored_ranges(image, mappings);
        Self { pages: image.pages(), mappings, files, vdso, own, shared, views, unresolved }
    }

    fn read_all(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), StoredError> {
        let mut index = self.mappings.partition_point(|mapping| mapping.range.end <= address);
        let (mut at, mut rest) = (address, &mut *buffer);
        while !rest.is_empty() {
            let mapping = self.mappings.get(index).filter(|mapping| mapping.range.contains(at));
            let mapping = mapping.ok_or(StoredError::NotMapped(at))?;
            let length = (mapping.range.end.0 - at.0).min(rest.len() as u64) as usize;
            let (here, after) = rest.split_at_mut(length);
            self.read_mapping(mapping, at, here)?;
            (at, rest, index) = (RunAddress(at.0 + length as u64), after, index + 1);
        }
        self.blank_unresolved(address, buffer);
        Ok(())
    }

    fn read_mapping(&self, mapping: &Mapping, address: RunAddress, buffer: &mut [u8]) -> Result<(), StoredError> {
        let wanted = RunRange::new(address.0, address.0 + buffer.len() as u64);
        let mut at = address.0;
        let part = |from: u64, to: u64| (from - address.0) as usize..(to - address.0) as usize;
        for run in self.pages.runs_in(0, wanted) {
            let run = run?;
            let Some(range) = run.range.intersection(&wanted) else { continue };
            if at < range.start.0 {
                self.read_fresh(mapping, RunAddress(at), &mut buffer[part(at, range.start.0)])?;
            }
            copy_run(&run, range.start, &mut buffer[part(range.start.0, range.end.0)])?;
            at = range.end.0;
        }
        if at < wanted.end.0 {
            self.read_fresh(mapping, RunAddress(at), &mut buffer[part(at, wanted.end.0)])?;
        }
        Ok(())
    }

    /// What no page of the image covers.
    fn read_fresh(&self, mapping: &Mapping, address: RunAddress, buffer: &mut [u8]) -> Result<(), StoredError> {
        let within = address.0 - mapping.range.start.0;
        let failed = |source| StoredError::File { range: mapping.range, source };
        if mapping.sharing == Sharing::Shared
            && let Some((object, offset)) = object(&mapping.backing)
        {
            return self.read_object(object, offset.saturating_add(within), buffer).map_err(|error| match error {
                StoredError::File { source, .. } => failed(source),
                other => other,
            });
        }
        match &mapping.backing {
            Backing::Anonymous { .. } | Backing::SharedAnonymous { .. } | Backing::SysV { .. } => buffer.fill(0),
            backing @ Backing::File { offset, .. } => {
                self.files.read(backing, offset.saturating_add(within), buffer).map_err(failed)?;
            }
            Backing::Vdso => {
                let bytes = self.vdso.and_then(|bytes| bytes.get(within as usize..)?.get(..buffer.len()));
                buffer.copy_from_slice(bytes.ok_or(StoredError::Kernel { what: "the vdso", address })?);
            }
            Backing::Vvar { .. } | Backing::Vsyscall => return Err(StoredError::Kernel { what: "memory", address }),
        }
        Ok(())
    }

    /// Bytes of shared memory, which the image has at the addresses of one of its mappings only.
    fn read_object(&self, object: Object, offset: u64, buffer: &mut [u8]) -> Result<(), StoredError> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let length = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(buffer.len() - done);
            let piece = &mut buffer[done..done + length];
            if !self.read_from_view(object, at, piece)? {
                self.read_unseen(object, at, piece);
            }
            done += length;
        }
        Ok(())
    }

    /// Reads a part of a page from whichever mapping of the object has it in the image.
    fn read_from_view(&self, object: Object, offset: u64, buffer: &mut [u8]) -> Result<bool, StoredError> {
        for (start, range) in self.views.get(&object).into_iter().flatten() {
            let Some(within) = offset.checked_sub(*start).filter(|within| *within < range.len()) else { continue };
            let address = RunAddress(range.start.0 + within);
            let wanted = RunRange::new(address.0, address.0 + 1);
            if let Some(run) = self.pages.runs_in(0, wanted).next() {
                copy_run(&run?, address, buffer)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A page of an object that was a hole: in a memory file, bytes that its descriptor was saved with.
    fn read_unseen(&self, object: Object, offset: u64, buffer: &mut [u8]) {
        buffer.fill(0);
        let Object::MemoryFile(inode) = object else { return };
        let bytes = self.files.memory_file(inode).and_then(|bytes| bytes.get(usize::try_from(offset).ok()?..));
        for (to, from) in buffer.iter_mut().zip(bytes.unwrap_or_default()) {
            *to = *from;
        }
    }

    /// Slots that wait for a selector read as zero, whatever their file has there.
    fn blank_unresolved(&self, address: RunAddress, buffer: &mut [u8]) {
        let end = address.0 + buffer.len() as u64;
        let first = self.unresolved.partition_point(|slot| slot.0.saturating_add(8) <= address.0);
        for slot in self.unresolved[first..].iter().take_while(|slot| slot.0 < end) {
            let (from, to) = (slot.0.max(address.0), (slot.0 + 8).min(end));
            buffer[(from - address.0) as usize..(to - address.0) as usize].fill(0);
        }
    }
}

impl MemorySource for StoredMemory<'_> {
    fn own_pages(&self) -> &[RunRange] {
        &self.own
    }

    fn shared_pages(&self) -> &[RunRange] {
        &self.shared
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len();
        let failed = |source: StoredError| SourceError { address, length, source: Box::new(source) };
        if address.checked_add(length as u64).is_none() {
            return Err(failed(StoredError::NotMapped(address)));
        }
        self.read_all(address, buffer).map_err(failed)
    }
}

/// Copies the bytes of `run` from `start` on, which lies in it, as many as `buffer` has.
fn copy_run(run: &Run<'_>, start: RunAddress, buffer: &mut [u8]) -> Result<(), StoredError> {
    match run.bytes {
        PageBytes::Zero => buffer.fill(0),
        PageBytes::Holder => return Err(StoredError::Holder(start)),
        PageBytes::Stored(bytes) => {
            let from = (start.0 - run.range.start.0) as usize;
            let bytes = bytes.get(from..from + buffer.len()).ok_or(StoredError::NotMapped(start))?;
            buffer.copy_from_slice(bytes);
        }
    }
    Ok(())
}

fn object(backing: &Backing) -> Option<(Object, u64)> {
    match backing {
        Backing::SharedAnonymous { inode, offset } => Some((Object::Anonymous(*inode), *offset)),
        Backing::File { inode, offset, path, .. } if path.starts_with(b"/memfd:") => Some((Object::MemoryFile(*inode), *offset)),
        Backing::SysV { id, offset, .. } => Some((Object::Segment(*id), *offset)),
        _ => None,
    }
}

/// The pages that the image has, split at the borders of mappings: those of private ones, and of shared ones.
fn stored_ranges(image: &ImageReader, mappings: &[Mapping]) -> (Vec<RunRange>, Vec<RunRange>) {
    let (mut own, mut shared): (Vec<RunRange>, Vec<RunRange>) = (Vec::new(), Vec::new());
    let mut from = 0;
    for extent in image.page_table().extents.iter().take_while(|extent| extent.address_space == 0) {
        let range = RunRange::new(extent.start.0, extent.start.0.saturating_add(extent.pages.saturating_mul(PAGE_SIZE)));
        from += mappings[from..].iter().take_while(|mapping| mapping.range.end <= range.start).count();
        for mapping in mappings[from..].iter().take_while(|mapping| mapping.range.start < range.end) {
            let list = if mapping.sharing == Sharing::Private { &mut own } else { &mut shared };
            match (mapping.range.intersection(&range), list.last_mut()) {
                // The table has an extent for each change of source.
                (Some(part), Some(last)) if last.end == part.start && mapping.range.contains(last.start) => last.end = part.end,
                (Some(part), _) => list.push(part),
                (None, _) => {}
            }
        }
    }
    (own, shared)
}

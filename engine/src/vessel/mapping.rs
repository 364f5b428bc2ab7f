//! The mappings of an image, made in an emptied process.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Backing, Mapping, Protection, Sharing};

use super::error::VesselError;
use super::files::MappedFiles;
use crate::tracee::batch::{Batch, Failed};

/// `ARCH_MAP_VDSO_64` (`arch/x86/include/uapi/asm/prctl.h`).
const ARCH_MAP_VDSO_64: u64 = 0x2003;

/// One open file for each mapping that needs one, and which of them; mappings of one file share it.
#[derive(Default)]
pub(super) struct Files<'a> {
    wanted: Vec<BorrowedFd<'a>>,
    /// Position in `wanted`, by mapping.
    places: Vec<Option<usize>>,
}

impl<'a> Files<'a> {
    /// Finds the files of all mappings.
    pub(super) fn of(mappings: &[Mapping], files: &'a MappedFiles) -> Result<Self, VesselError> {
        let mut found = Self::default();
        for mapping in mappings {
            let needs_file = matches!(mapping.backing, Backing::File { .. } | Backing::SharedAnonymous { .. });
            let place = needs_file.then(|| found.place(mapping, files)).transpose()?;
            found.places.push(place);
        }
        Ok(found)
    }

    fn place(&mut self, mapping: &Mapping, files: &'a MappedFiles) -> Result<usize, VesselError> {
        let missing = || VesselError::NoFile { range: mapping.range, path: describe(&mapping.backing) };
        let file = files.get(mapping).ok_or_else(missing)?;
        Ok(self.wanted.iter().position(|known| known.as_raw_fd() == file.as_raw_fd()).unwrap_or_else(|| {
            self.wanted.push(file);
            self.wanted.len() - 1
        }))
    }

    /// The files, in the order in which [`map_all`] wants their numbers.
    pub(super) fn descriptors(&self) -> &[BorrowedFd<'a>] {
        &self.wanted
    }
}

/// Makes every mapping of `mappings`; private pages are as a fresh mapping has them. `numbers` are those of `files` in the vessel.
pub(super) fn map_all(
    batch: &mut Batch<'_>,
    mappings: &[Mapping],
    files: &Files<'_>,
    numbers: &[RawFd],
) -> Result<(), VesselError> {
    let mut made: Vec<(usize, &Mapping)> = Vec::with_capacity(mappings.len());
    for (mapping, place) in mappings.iter().zip(&files.places) {
        let added = match &mapping.backing {
            Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall => continue,
            Backing::SysV { id, .. } => attach(batch, mapping, *id),
            _ => map_one(batch, mapping, place.and_then(|place| numbers.get(place)).copied()),
        };
        made.push((added.map_err(|failed| named(failed, &made))?, mapping));
    }
    let lowest = mappings.iter().filter(|mapping| matches!(mapping.backing, Backing::Vdso | Backing::Vvar { .. }));
    if let Some(mapping) = lowest.min_by_key(|mapping| mapping.range.start) {
        // The kernel maps vdso and vvar together, vvar first, so the lowest address of either is the one to ask for.
        let arguments = [ARCH_MAP_VDSO_64, mapping.range.start.0];
        let added = batch.leader("arch_prctl(ARCH_MAP_VDSO_64)", libc::SYS_arch_prctl, arguments);
        made.push((added.map_err(|failed| named(failed, &made))?, mapping));
    }
    let results = batch.run().map_err(|failed| named(failed, &made))?;
    for (index, mapping) in made {
        // A kernel that knows no MAP_FIXED_NOREPLACE (before 4.17) may take the address as a wish.
        let found = results.get(index).copied().unwrap_or_default();
        if !matches!(mapping.backing, Backing::Vdso | Backing::Vvar { .. }) && found != mapping.range.start.0 {
            let (expected, found) = (mapping.range.to_string(), format!("{found:#x}"));
            return Err(VesselError::Mismatch { what: "a mapping's address", expected, found });
        }
    }
    Ok(())
}

/// The failure with the mapping that could not be made.
fn named(failed: Failed, made: &[(usize, &Mapping)]) -> VesselError {
    match made.iter().find(|(index, _)| *index == failed.index) {
        Some((_, mapping)) => {
            let what = describe(&mapping.backing);
            VesselError::Mapping { range: mapping.range, what, source: failed.source }
        }
        None => failed.into(),
    }
}

/// The protection of a range, for `mprotect`.
pub(super) fn protect(batch: &mut Batch<'_>, range: RunRange, protection: Protection) -> Result<(), VesselError> {
    batch.leader("mprotect", libc::SYS_mprotect, [range.start.0, range.len(), bits(protection)])?;
    Ok(())
}

/// Closes files that were brought in for mappings, one call for each run of numbers.
pub(super) fn close_files(batch: &mut Batch<'_>, numbers: &[RawFd]) -> Result<(), VesselError> {
    let mut open: Vec<u64> = numbers.iter().map(|number| *number as u64).collect();
    open.sort_unstable();
    for run in open.chunk_by(|a, b| a + 1 == *b) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            batch.leader("close_range", libc::SYS_close_range, [*first, *last, 0])?;
        }
    }
    Ok(())
}

fn map_one(batch: &mut Batch<'_>, mapping: &Mapping, number: Option<RawFd>) -> Result<usize, Failed> {
    let sharing = match mapping.sharing {
        Sharing::Private => libc::MAP_PRIVATE,
        Sharing::Shared => libc::MAP_SHARED,
    };
    let mut flags = libc::MAP_FIXED_NOREPLACE | sharing;
    if number.is_none() {
        flags |= libc::MAP_ANONYMOUS;
    }
    if mapping.flags.grows_down {
        flags |= libc::MAP_GROWSDOWN;
    }
    if mapping.flags.no_reserve {
        flags |= libc::MAP_NORESERVE;
    }
    let offset = match &mapping.backing {
        Backing::File { offset, .. } | Backing::SharedAnonymous { offset, .. } => *offset,
        _ => 0,
    };
    let arguments = [
        mapping.range.start.0,
        mapping.range.len(),
        bits(mapping.protection),
        flags as u64,
        number.map_or(u64::MAX, |number| number as u64),
        offset,
    ];
    batch.leader("mmap", libc::SYS_mmap, arguments)
}

fn attach(batch: &mut Batch<'_>, mapping: &Mapping, id: i32) -> Result<usize, Failed> {
    let mut flags = 0;
    if !mapping.protection.write {
        flags |= libc::SHM_RDONLY;
    }
    if mapping.protection.execute {
        flags |= libc::SHM_EXEC;
    }
    batch.leader("shmat", libc::SYS_shmat, [id as u64, mapping.range.start.0, flags as u64])
}

fn bits(protection: Protection) -> u64 {
    let mut bits = 0;
    if protection.read {
        bits |= libc::PROT_READ;
    }
    if protection.write {
        bits |= libc::PROT_WRITE;
    }
    if protection.execute {
        bits |= libc::PROT_EXEC;
    }
    bits as u64
}

fn describe(backing: &Backing) -> String {
    match backing {
        Backing::File { path, .. } => String::from_utf8_lossy(path).into_owned(),
        Backing::SharedAnonymous { .. } => "shared anonymous memory".to_owned(),
        Backing::SysV { id, .. } => format!("System V segment {id}"),
        _ => "anonymous memory".to_owned(),
    }
}

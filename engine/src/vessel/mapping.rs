//! The mappings of an image, made in an emptied process.

use std::os::fd::{BorrowedFd, RawFd};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Backing, Mapping, Protection, Sharing};

use super::error::VesselError;
use super::files::MappedFiles;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

/// `ARCH_MAP_VDSO_64` (`arch/x86/include/uapi/asm/prctl.h`).
const ARCH_MAP_VDSO_64: u64 = 0x2003;

/// Makes every mapping of `mappings`; private pages are as a fresh mapping has them.
pub(super) fn map_all(vessel: &mut Emptied, mappings: &[Mapping], files: &MappedFiles) -> Result<(), VesselError> {
    let numbers = import_files(vessel, mappings, files)?;
    let mapped = map_each(vessel, mappings, &numbers);
    close_files(vessel, &numbers)?;
    mapped?;
    map_vdso(vessel, mappings)
}

/// The protection of a range, for `mprotect`.
pub(super) fn protect(vessel: &mut Emptied, range: RunRange, protection: Protection) -> Result<(), VesselError> {
    let arguments = [range.start.0, range.len(), bits(protection)];
    vessel.leader_call("mprotect", libc::SYS_mprotect, &arguments)?;
    Ok(())
}

/// One descriptor of the vessel for each mapping that needs one; mappings of one file share it.
fn import_files(vessel: &mut Emptied, mappings: &[Mapping], files: &MappedFiles) -> Result<Vec<Option<RawFd>>, VesselError> {
    use std::os::fd::AsRawFd;
    let mut wanted: Vec<BorrowedFd<'_>> = Vec::new();
    let mut places = Vec::with_capacity(mappings.len());
    for mapping in mappings {
        let needs_file = matches!(mapping.backing, Backing::File { .. } | Backing::SharedAnonymous { .. });
        if !needs_file {
            places.push(None);
            continue;
        }
        let file =
            files.get(mapping).ok_or_else(|| VesselError::NoFile { range: mapping.range, path: describe(&mapping.backing) })?;
        let place = wanted.iter().position(|known| known.as_raw_fd() == file.as_raw_fd()).unwrap_or_else(|| {
            wanted.push(file);
            wanted.len() - 1
        });
        places.push(Some(place));
    }
    let numbers = vessel.import_all(&wanted)?;
    Ok(places.into_iter().map(|place| place.map(|place| numbers[place])).collect())
}

fn close_files(vessel: &mut Emptied, numbers: &[Option<RawFd>]) -> Result<(), VesselError> {
    let mut open: Vec<u64> = numbers.iter().flatten().map(|number| *number as u64).collect();
    open.sort_unstable();
    open.dedup();
    let Some((first, last)) = open.first().copied().zip(open.last().copied()) else { return Ok(()) };
    if last - first + 1 == open.len() as u64 {
        vessel.leader_call("close_range", libc::SYS_close_range, &[first, last, 0])?;
        return Ok(());
    }
    for number in open {
        vessel.leader_call("close", libc::SYS_close, &[number])?;
    }
    Ok(())
}

fn map_each(vessel: &mut Emptied, mappings: &[Mapping], numbers: &[Option<RawFd>]) -> Result<(), VesselError> {
    for (mapping, number) in mappings.iter().zip(numbers) {
        let made = match &mapping.backing {
            Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall => continue,
            Backing::SysV { id, .. } => attach(vessel, mapping, *id),
            _ => map_one(vessel, mapping, *number),
        };
        made.map_err(|source| VesselError::Mapping { range: mapping.range, what: describe(&mapping.backing), source })?;
    }
    Ok(())
}

fn map_one(vessel: &mut Emptied, mapping: &Mapping, number: Option<RawFd>) -> Result<(), TraceeError> {
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
    vessel.leader_call("mmap", libc::SYS_mmap, &arguments).map(drop)
}

fn attach(vessel: &mut Emptied, mapping: &Mapping, id: i32) -> Result<(), TraceeError> {
    let mut flags = 0;
    if !mapping.protection.write {
        flags |= libc::SHM_RDONLY;
    }
    if mapping.protection.execute {
        flags |= libc::SHM_EXEC;
    }
    vessel.leader_call("shmat", libc::SYS_shmat, &[id as u64, mapping.range.start.0, flags as u64]).map(drop)
}

/// The kernel maps vdso and vvar together, vvar first, so the lowest address of either is the one to ask for.
fn map_vdso(vessel: &mut Emptied, mappings: &[Mapping]) -> Result<(), VesselError> {
    let lowest = mappings
        .iter()
        .filter(|mapping| matches!(mapping.backing, Backing::Vdso | Backing::Vvar { .. }))
        .map(|mapping| mapping.range)
        .min_by_key(|range| range.start);
    if let Some(range) = lowest {
        vessel
            .leader_call("arch_prctl(ARCH_MAP_VDSO_64)", libc::SYS_arch_prctl, &[ARCH_MAP_VDSO_64, range.start.0])
            .map_err(|source| VesselError::Mapping { range, what: "vdso".to_owned(), source })?;
    }
    Ok(())
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

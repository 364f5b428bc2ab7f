//! Bytes into mapped pages.
//!
//! From a holder the kernel copies straight into the vessel (`copy`). Pages that their mapping does not let be written go through
//! `/proc/PID/mem`, which may write to private pages whatever their protection.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::PageBytes;
use dsu_formats::model::latest::{Backing, Mapping, Sharing};
use nix::errno::Errno;

use super::copy;
use super::error::VesselError;
use super::pages::PageProvider;
use super::stock::Stock;
use crate::plan::rewrite::{Contents, Patch};
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::holder::Holder;
use crate::tracee::inject::Injector;

/// Entries of one `process_vm_writev` (`UIO_MAXIOV`).
const BATCH: usize = 1024;
/// Bytes that the engine copies at a time.
const BUFFER: usize = 1 << 20;

/// Stores the pages of `provider` into the vessel's mappings.
pub(super) fn fill(vessel: &mut Emptied, mappings: &[Mapping], provider: &PageProvider<'_>) -> Result<(), VesselError> {
    match provider {
        PageProvider::Holder { holder, ranges, stock } => fill_from_holder(vessel, mappings, holder, ranges, stock),
        PageProvider::Image { reader, address_space } => {
            for run in reader.pages().runs_in(*address_space, RunRange::new(0, u64::MAX)) {
                let run = run.map_err(|source| VesselError::NoPage { address: RunAddress(0), source: Box::new(source) })?;
                // Zero pages are what a fresh anonymous mapping has; over a file they must be written.
                match run.bytes {
                    PageBytes::Stored(bytes) => vessel.memory().write(run.range.start, bytes)?,
                    PageBytes::Zero if is_anonymous(mappings, run.range.start) => {}
                    PageBytes::Zero => write_zeros(vessel, run.range)?,
                    PageBytes::Holder => {
                        return Err(VesselError::NoPage {
                            address: run.range.start,
                            source: "the page is in a holder, not in the file".into(),
                        });
                    }
                }
            }
            Ok(())
        }
    }
}

/// Stores single words over filled pages.
pub(super) fn patch(vessel: &Emptied, patches: &[Patch]) -> Result<(), VesselError> {
    use nix::sys::uio::{RemoteIoVec, process_vm_writev};
    let pid = nix::unistd::Pid::from_raw(vessel.pid());
    for batch in patches.chunks(BATCH) {
        let words: Vec<[u8; 8]> = batch.iter().map(|patch| patch.word.to_le_bytes()).collect();
        let local: Vec<std::io::IoSlice<'_>> = words.iter().map(|word| std::io::IoSlice::new(word)).collect();
        let remote: Vec<RemoteIoVec> = batch.iter().map(|patch| RemoteIoVec { base: patch.address.0 as usize, len: 8 }).collect();
        let done = process_vm_writev(pid, &local, &remote).unwrap_or(0) / 8;
        // The call ends at the first page that is not writable; that page and those after it go the slower way.
        for (patch, word) in batch.iter().zip(&words).skip(done) {
            vessel.memory().write(patch.address, word)?;
        }
    }
    Ok(())
}

/// Stores bytes of mappings that the plan made.
pub(super) fn store(vessel: &Emptied, contents: &[Contents]) -> Result<(), VesselError> {
    for part in contents {
        vessel.memory().write(part.address, &part.bytes)?;
    }
    Ok(())
}

fn fill_from_holder(
    vessel: &mut Emptied,
    mappings: &[Mapping],
    holder: &Holder,
    ranges: &[RunRange],
    stock: &Stock,
) -> Result<(), VesselError> {
    let (direct, forced) = split_by_access(mappings, ranges);
    let refused = match copy::from_holder(vessel, mappings, holder, &direct, stock) {
        // The vessel's credentials may not reach the holder (a program that is not dumpable): the engine copies.
        Err(TraceeError::Call { source: Errno::EPERM | Errno::EFAULT | Errno::ENOSYS, .. }) => true,
        other => other.map(|()| false)?,
    };
    if refused {
        copy_through_engine(vessel, holder, &direct)?;
    }
    copy_through_engine(vessel, holder, &forced)
}

/// Ranges in mappings that can be read and written, and those in others.
fn split_by_access(mappings: &[Mapping], ranges: &[RunRange]) -> (Vec<RunRange>, Vec<RunRange>) {
    let (mut direct, mut forced) = (Vec::new(), Vec::new());
    let mut from = 0;
    for range in ranges {
        while mappings.get(from).is_some_and(|mapping| mapping.range.end <= range.start) {
            from += 1;
        }
        for mapping in mappings[from..].iter().take_while(|mapping| mapping.range.start < range.end) {
            let Some(part) = mapping.range.intersection(range) else { continue };
            if mapping.sharing == Sharing::Shared {
                continue;
            }
            let list = if mapping.protection.read && mapping.protection.write { &mut direct } else { &mut forced };
            list.push(part);
        }
    }
    (direct, forced)
}

fn copy_through_engine(vessel: &Emptied, holder: &Holder, ranges: &[RunRange]) -> Result<(), VesselError> {
    let mut buffer = vec![0u8; BUFFER];
    for range in ranges {
        let mut at = range.start.0;
        while at < range.end.0 {
            let length = (range.end.0 - at).min(BUFFER as u64) as usize;
            holder.memory().read(RunAddress(at), &mut buffer[..length])?;
            vessel.memory().write(RunAddress(at), &buffer[..length])?;
            at += length as u64;
        }
    }
    Ok(())
}

fn write_zeros(vessel: &Emptied, range: RunRange) -> Result<(), VesselError> {
    let zeros = [0u8; PAGE_SIZE as usize];
    for page in (range.start.0..range.end.0).step_by(PAGE_SIZE as usize) {
        vessel.memory().write(RunAddress(page), &zeros)?;
    }
    Ok(())
}

fn is_anonymous(mappings: &[Mapping], address: RunAddress) -> bool {
    mappings
        .iter()
        .find(|mapping| mapping.range.contains(address))
        .is_some_and(|mapping| matches!(mapping.backing, Backing::Anonymous { .. }))
}

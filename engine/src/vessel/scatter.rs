//! Many small pieces into filled pages.
//!
//! Where pieces are dense, whole pages are read, changed and written back; where they are sparse, one call stores many of them.

use dsu_formats::address::{PAGE_SIZE, RunAddress};
use nix::sys::uio::{RemoteIoVec, process_vm_writev};

use super::error::VesselError;
use crate::tracee::memory::RemoteMemory;

/// Pieces of one `process_vm_writev` (`UIO_MAXIOV`).
const BATCH: usize = 1024;
/// Bytes of pages that are changed at a time.
const WINDOW: u64 = 256 << 10;
/// Pieces in a page from which on it is cheaper to carry the whole page back and forth.
const DENSE: u64 = 8;

/// Bytes and where they belong.
pub(super) type Piece<'a> = (RunAddress, &'a [u8]);

/// Stores `pieces`, which ascend and do not overlap.
pub(super) fn store(memory: &RemoteMemory, pieces: &[Piece<'_>]) -> Result<(), VesselError> {
    let mut rest = pieces;
    let mut sparse = Vec::new();
    while let Some((count, pages)) = window(rest) {
        let (here, after) = rest.split_at(count);
        if count as u64 >= DENSE * (pages.1 - pages.0) / PAGE_SIZE {
            change_pages(memory, pages, here)?;
        } else {
            sparse.extend_from_slice(here);
        }
        rest = after;
    }
    sparse.chunks(BATCH).try_for_each(|batch| store_batch(memory, batch))
}

/// How many of the first pieces lie in pages without a gap, and the range of these pages.
fn window(pieces: &[Piece<'_>]) -> Option<(usize, (u64, u64))> {
    let pages_of = |(at, bytes): &Piece<'_>| (at.0 & !(PAGE_SIZE - 1), (at.0 + bytes.len() as u64).next_multiple_of(PAGE_SIZE));
    let (start, mut end) = pages_of(pieces.first()?);
    let mut count = 1;
    for piece in &pieces[1..] {
        let (first, last) = pages_of(piece);
        if first > end || last - start > WINDOW {
            break;
        }
        end = end.max(last);
        count += 1;
    }
    Some((count, (start, end)))
}

fn change_pages(memory: &RemoteMemory, (start, end): (u64, u64), pieces: &[Piece<'_>]) -> Result<(), VesselError> {
    let mut pages = vec![0; (end - start) as usize];
    memory.read_fast(RunAddress(start), &mut pages)?;
    for (at, bytes) in pieces {
        let from = (at.0 - start) as usize;
        pages[from..from + bytes.len()].copy_from_slice(bytes);
    }
    Ok(memory.write(RunAddress(start), &pages)?)
}

fn store_batch(memory: &RemoteMemory, pieces: &[Piece<'_>]) -> Result<(), VesselError> {
    let pid = nix::unistd::Pid::from_raw(memory.pid());
    let local: Vec<std::io::IoSlice<'_>> = pieces.iter().map(|(_, bytes)| std::io::IoSlice::new(bytes)).collect();
    let remote: Vec<RemoteIoVec> =
        pieces.iter().map(|(at, bytes)| RemoteIoVec { base: at.0 as usize, len: bytes.len() }).collect();
    let mut done = process_vm_writev(pid, &local, &remote).unwrap_or(0);
    // The call ends at the first page that is not writable; what lies there and after it goes the slower way.
    for (at, bytes) in pieces {
        if done >= bytes.len() {
            done -= bytes.len();
            continue;
        }
        done = 0;
        memory.write(*at, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> RemoteMemory {
        RemoteMemory::open(std::process::id() as i32).unwrap()
    }

    #[test]
    fn dense_and_sparse_pieces_all_arrive_and_nothing_else_changes() {
        // Whole pages are written back: they have to be this test's alone, as other tests run beside it.
        let mut memory = vec![7u8; 65 * 4096];
        let skip = memory.as_ptr().align_offset(4096);
        let start = memory.as_ptr() as u64 + skip as u64;
        let places: Vec<u64> = (0..40).map(|i| i * 64 + 3).chain([9 * 4096, 30 * 4096 - 4, 63 * 4096 + 4000]).collect();
        let bytes = [1u8, 2, 3, 4, 5, 6, 7, 8];
        let pieces: Vec<Piece<'_>> = places.iter().map(|at| (RunAddress(start + at), &bytes[..])).collect();
        store(&here(), &pieces).unwrap();
        let now = &std::hint::black_box(&mut memory)[skip..][..64 * 4096];
        let mut expected = vec![7u8; 64 * 4096];
        places.iter().for_each(|at| expected[*at as usize..*at as usize + 8].copy_from_slice(&bytes));
        assert!(*now == expected);
    }
}

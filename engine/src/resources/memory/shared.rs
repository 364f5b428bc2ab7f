//! Shared memory without a name: its bytes are in no file, so that a durable image holds them and a cold restore makes it anew.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;

use dsu_formats::address::{PAGE_SIZE, RunRange};
use dsu_formats::model::latest::{Backing, Mapping, Sharing};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

use super::super::error::ResourceError;
use super::maps::open_mapped;
use crate::tracee::objects;

/// Runs of pages of shared anonymous memory, SysV segments and memfds that hold data, at the addresses of the first mapping of
/// each part of each object. Nothing is touched: holes stay holes.
///
/// A file with a path is left out: its bytes are in the file. `mappings` must be as `/proc/PID/maps` has them.
pub fn scan_shared(pid: i32, mappings: &[Mapping]) -> Result<Vec<RunRange>, ResourceError> {
    let mut runs = Vec::new();
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    for mapping in mappings.iter().filter(|mapping| mapping.sharing == Sharing::Shared) {
        let Some((object, offset)) = unnamed_object(&mapping.backing) else { continue };
        let file = match open_mapped(pid, mapping, mapping.range, false) {
            // Without the privilege to open it nobody can tell what of it has no bytes: all counts as data.
            Err(ResourceError::File { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                runs.push(mapping.range);
                continue;
            }
            opened => opened?,
        };
        for data in data_ranges(&file, offset, mapping.range.len(), mapping)? {
            for page in (data.start.0..data.end.0).step_by(PAGE_SIZE as usize) {
                if seen.insert((object, page)) {
                    append(&mut runs, mapping.range.start.0 + (page - offset), mapping.range.start.0);
                }
            }
        }
    }
    Ok(runs)
}

/// A number for the object under a shared mapping whose bytes no file system holds, and the mapping's offset in it.
fn unnamed_object(backing: &Backing) -> Option<(u64, u64)> {
    match backing {
        Backing::SharedAnonymous { inode, offset } => Some((*inode, *offset)),
        Backing::File { inode, offset, deleted: true, path, .. } if path.starts_with(b"/memfd:") => Some((*inode, *offset)),
        // Segment IDs are the inodes of a file system of their own.
        Backing::SysV { id, offset, .. } => Some((1 << 63 | u64::from(id.cast_unsigned()), *offset)),
        _ => None,
    }
}

/// The parts of `[offset, offset + length)` of a file that are no holes, in offsets of the file, page aligned.
fn data_ranges(file: &File, offset: u64, length: u64, mapping: &Mapping) -> Result<Vec<RunRange>, ResourceError> {
    let end = offset.saturating_add(length);
    let failed = |source| ResourceError::call("lseek(SEEK_DATA)", format_args!("shared memory at {}", mapping.range), source);
    let mut found = Vec::new();
    let mut at = offset;
    while at < end {
        let start = match lseek64(file.as_fd(), at as i64, Whence::SeekData) {
            Ok(start) => start as u64,
            // No data behind this point, or the object ends before the mapping does.
            Err(Errno::ENXIO) => break,
            Err(other) => return Err(failed(other)),
        };
        let hole = lseek64(file.as_fd(), start as i64, Whence::SeekHole).map_err(failed)? as u64;
        let hole = hole.next_multiple_of(PAGE_SIZE);
        if start < end {
            found.push(RunRange::new((start & !(PAGE_SIZE - 1)).max(offset), hole.min(end)));
        }
        at = hole.max(at + PAGE_SIZE);
    }
    Ok(found)
}

fn append(runs: &mut Vec<RunRange>, address: u64, border: u64) {
    match runs.last_mut() {
        Some(last) if last.end.0 == address && last.start.0 >= border => last.end.0 = address + PAGE_SIZE,
        _ => runs.push(RunRange::new(address, address + PAGE_SIZE)),
    }
}

/// Length in bytes that shared anonymous memory `inode` must have for every mapping of it.
pub fn shared_length(mappings: &[Mapping], inode: u64) -> u64 {
    let ends = mappings.iter().filter_map(|mapping| match mapping.backing {
        Backing::SharedAnonymous { inode: own, offset } if own == inode => Some(offset.saturating_add(mapping.range.len())),
        _ => None,
    });
    ends.max().unwrap_or(0)
}

/// New shared anonymous memory of `length` bytes, as a file that can be mapped at any offset. The kernel shows it as what a
/// process of its own would have made, `/dev/zero (deleted)`.
pub fn make_shared(length: u64) -> Result<File, ResourceError> {
    let failed = |source| ResourceError::call("mmap", format_args!("{length} bytes of shared memory"), source);
    objects::shared_memory(length as usize).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::super::maps::capture_mappings;
    use super::*;
    use crate::resources::testing::Target;

    #[test]
    fn data_of_shared_memory_is_found_once_and_holes_stay() {
        let mut target = Target::start(
            r#"
            #include <sys/mman.h>
            int main(void) {
                char *p = mmap(0, 64 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                p[3 * 4096] = p[4 * 4096] = p[40 * 4096] = 1;
                int memory = memfd_create("m", 0);
                CHECK(ftruncate(memory, 8 * 4096));
                char *first = mmap(0, 8 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
                char *second = mmap(0, 4 * 4096, PROT_READ, MAP_SHARED, memory, 4 * 4096);
                first[5 * 4096] = 1;
                say("%p", p);
                say("%p", first);
                say("%p", second);
                wait_for_end();
            }"#,
        );
        let (anonymous, first, second) = (target.address(), target.address(), target.address());
        let mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
        let pages = |at: u64, from: u64, to: u64| RunRange::new(at + from * PAGE_SIZE, at + to * PAGE_SIZE);
        let mut runs = scan_shared(target.pid(), &mappings).unwrap();
        runs.sort_unstable();
        let mut expected = vec![pages(anonymous, 3, 5), pages(anonymous, 40, 41)];
        // The page that both mappings show counts for the lower of them.
        expected.push(if first < second { pages(first, 5, 6) } else { pages(second, 1, 2) });
        expected.sort_unstable();
        assert_eq!(runs, expected);
        assert_eq!(scan_shared(target.pid(), &mappings).unwrap().len(), 3, "the scan made pages");
        let inode = mappings.iter().find_map(|mapping| match mapping.backing {
            Backing::SharedAnonymous { inode, .. } => Some(inode),
            _ => None,
        });
        assert_eq!(shared_length(&mappings, inode.unwrap()), 64 * PAGE_SIZE);
    }

    #[test]
    fn new_shared_memory_is_of_the_kind_that_a_process_makes() {
        let file = make_shared(3 * PAGE_SIZE).unwrap();
        assert_eq!(file.metadata().unwrap().size(), 3 * PAGE_SIZE);
        file.write_all_at(b"word", PAGE_SIZE).unwrap();
        use std::os::fd::AsRawFd;
        let target = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(target.as_os_str().as_encoded_bytes(), b"/dev/zero (deleted)");
    }
}

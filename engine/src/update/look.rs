//! A look at the stacks of a process that runs: what is on them may be return addresses. It decides what is worked out before the stop, and
//! nothing else.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Mapping;

use crate::tracee::procfs;
use crate::tracee::target::Target;

/// More of a stack is not looked at, in bytes.
const MOST: u64 = 256 * 1024;

/// The words on the stacks of all threads that wait in the kernel, as far as they can be read.
pub(super) fn stack_words(target: &Target, mappings: &[Mapping]) -> Vec<u64> {
    let threads = procfs::thread_ids(target.pid()).unwrap_or_default();
    let pointers = threads.into_iter().filter_map(|tid| stack_pointer(target.pid(), tid));
    let mut words = Vec::new();
    for pointer in pointers {
        let Some(mapping) = mappings.iter().find(|mapping| mapping.range.contains(RunAddress(pointer))) else { continue };
        let start = pointer.next_multiple_of(8);
        let length = mapping.range.end.0.saturating_sub(start).min(MOST);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if target.memory().read_fast(RunAddress(start), &mut bytes).is_ok() {
            words.extend(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
    }
    words
}

/// The stack pointer of a thread in a system call; the kernel does not tell that of one that runs (`fs/proc/base.c`, `proc_pid_syscall`).
fn stack_pointer(pid: i32, tid: i32) -> Option<u64> {
    let text = procfs::read_text(pid, &format!("task/{tid}/syscall")).ok()?;
    let pointer = text.split_ascii_whitespace().rev().nth(1)?.strip_prefix("0x")?;
    u64::from_str_radix(pointer, 16).ok()
}

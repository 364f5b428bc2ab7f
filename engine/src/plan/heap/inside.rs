//! Whether a thread is inside malloc.

use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};

use crate::plan::link::scope::LoadedLibrary;
use crate::program::address::LinkAddress;
use crate::program::unwind::Frame;

/// Functions of the C library that work on heaps.
const NAMES: [&str; 25] = [
    "malloc",
    "free",
    "cfree",
    "calloc",
    "realloc",
    "reallocarray",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "malloc_trim",
    "malloc_stats",
    "malloc_info",
    "malloc_usable_size",
    "mallinfo",
    "mallinfo2",
    "mallopt",
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_memalign",
    "__libc_valloc",
    "__libc_freeres",
];

/// The code of malloc and its family: what is exported, and what that goes on to by a jump and so leaves no frame of its own.
#[derive(Clone, Debug, Default)]
pub struct MallocFamily {
    /// Position of the C library among the modules of frames.
    module: usize,
    /// Ascending.
    ranges: Vec<(LinkAddress, LinkAddress)>,
}

impl MallocFamily {
    /// Finds it in `libc`, which is the `module`-th module of the stacks that will be asked about.
    pub fn new(libc: &LoadedLibrary<'_>, module: usize) -> Self {
        let elf = &libc.library.elf;
        let symbols = elf.dynamic_symbols.iter().filter(|symbol| symbol.defined && NAMES.contains(&symbol.name.as_str()));
        let mut ranges: Vec<(LinkAddress, LinkAddress)> =
            symbols.map(|symbol| (symbol.address, symbol.address.offset(symbol.size.max(1)))).collect();
        let mut next = 0;
        while let Some(&(start, end)) = ranges.get(next) {
            next += 1;
            for target in jumps_out(libc, start, end) {
                let known = ranges.iter().any(|range| range.0 <= target && target < range.1);
                if let Some(range) = libc.library.unwind.range(target).filter(|range| !known && range.0 == target) {
                    ranges.push(range);
                }
            }
        }
        ranges.sort_unstable();
        ranges.dedup();
        Self { module, ranges }
    }

    /// Whether one of a thread's frames runs in it.
    pub fn is_active(&self, frames: &[Frame]) -> bool {
        frames.iter().filter_map(|frame| frame.module).any(|(module, link)| module == self.module && self.contains(link))
    }

    fn contains(&self, link: LinkAddress) -> bool {
        let at = self.ranges.partition_point(|range| range.0 <= link);
        self.ranges.get(..at).is_some_and(|before| before.iter().rev().take(4).any(|range| link < range.1))
    }
}

/// Where jumps without condition lead from a function to another.
fn jumps_out(libc: &LoadedLibrary<'_>, start: LinkAddress, end: LinkAddress) -> Vec<LinkAddress> {
    let Some(code) = libc.library.elf.file_bytes(start, end.0.saturating_sub(start.0)) else { return Vec::new() };
    let decoder = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE);
    let jumps = decoder.into_iter().filter(|instruction| {
        instruction.flow_control() == FlowControl::UnconditionalBranch && instruction.op0_kind() == OpKind::NearBranch64
    });
    let targets = jumps.map(|instruction| LinkAddress(instruction.near_branch_target()));
    targets.filter(|target| *target < start || end <= *target).collect()
}

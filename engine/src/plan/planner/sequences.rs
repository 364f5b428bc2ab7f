//! Restartable sequences that threads have announced: none is under way in the new program.

use dsu_formats::address::RunAddress;

use super::Planner;
use crate::plan::rewrite::Patch;
use crate::plan::source::{SourceError, read_word};

/// Where `struct rseq` has the address of the sequence under way (`rseq_cs`, `include/uapi/linux/rseq.h`), in bytes.
const ANNOUNCED: u64 = 8;

impl Planner<'_> {
    /// Words that say in which sequence a thread is. A stop is a preemption: one that was inside goes on where the sequence is given up
    /// (the capture has its registers so), and the kernel clears the word in any case before the thread runs (`kernel/rseq.c`,
    /// `rseq_ip_fixup`). Left alone, it would lead the kernel to where the old program was.
    pub(super) fn announced_sequences(&self) -> Result<Vec<Patch>, SourceError> {
        let threads = self.request.snapshot.threads.iter();
        let places = threads.filter_map(|thread| thread.rseq?.address.0.checked_add(ANNOUNCED)).map(RunAddress);
        let mut patches = Vec::new();
        for address in places {
            if read_word(self.request.memory, address)? != 0 {
                patches.push(Patch { address, word: 0 });
            }
        }
        Ok(patches)
    }
}
